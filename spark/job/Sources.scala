package ecompipe

import java.io.{FileNotFoundException, IOException, InputStream}
import java.nio.channels.Channels
import java.nio.file.attribute.FileTime
import java.nio.file.{Files, LinkOption, NoSuchFileException, Path => JavaPath, Paths, StandardOpenOption}
import java.util
import java.util.concurrent.TimeUnit
import java.util.zip.GZIPInputStream
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FSDataInputStream, FileStatus, FileSystem, Path}

/** A file as it was listed: where it is, and what tells it from another one that takes its name later. */
final case class SourceFile(path: String, fileStamp: String, size: Long) extends Serializable

/** The file is not what was listed any more. */
final class FileChanged(val path: String, val isGone: Boolean) extends Exception(path)

/**
 * Reads plain paths through the JVM, never following a link, and URIs (`s3a://…`, `hdfs://…`, `file:///…`) through
 * Hadoop's file systems.
 */
object Sources {
  def isUri(path: String): Boolean = path.matches("^[a-zA-Z][a-zA-Z0-9+.-]*:/.*")

  def isGzip(path: String): Boolean = path.toLowerCase.endsWith(".gz")

  /** As `isLoadableName` in `src/contract/fileNames.ts`. */
  def isLoadable(name: String): Boolean = !name.startsWith(".") && name.toLowerCase.matches("(?s).+\\.csv(\\.gz)?")

  /** Regular files with a name for us, in the order of names. What leaves while it is looked at is taken by somebody else. */
  def list(directory: String, conf: Configuration, isWanted: String => Boolean = isLoadable): Seq[SourceFile] = {
    val found = Seq.newBuilder[SourceFile]
    if (isUri(directory)) {
      val path = new Path(directory)
      path.getFileSystem(conf).listStatus(path).foreach { status =>
        if (status.isFile && isWanted(status.getPath.getName)) found += SourceFile(status.getPath.toString, stampOf(status), status.getLen)
      }
    } else {
      val entries = Files.newDirectoryStream(Paths.get(directory))
      try {
        entries.forEach { entry =>
          if (isWanted(entry.getFileName.toString)) {
            try {
              val attributes = attributesOf(entry)
              if (attributes.get("isRegularFile") == true) found += SourceFile(entry.toString, stampOf(attributes), attributes.get("size").asInstanceOf[Long])
            } catch { case _: NoSuchFileException => }
          }
        }
      } finally entries.close()
    }
    found.result().sortBy(_.path)
  }

  /** For local files as `fileStampOf` in `src/pipeline/stream/content.ts`. */
  def fileStamp(path: String, conf: Configuration): String =
    try {
      if (isUri(path)) stampOf(new Path(path).getFileSystem(conf).getFileStatus(new Path(path)))
      else stampOf(attributesOf(Paths.get(path)))
    } catch {
      case _: NoSuchFileException | _: FileNotFoundException => throw new FileChanged(path, isGone = true)
    }

  private def stampOf(status: FileStatus): String = s"${status.getLen}:${status.getModificationTime}"

  private def attributesOf(path: JavaPath): util.Map[String, AnyRef] = Files.readAttributes(path, "unix:dev,ino,size,lastModifiedTime,isRegularFile", LinkOption.NOFOLLOW_LINKS)

  private def stampOf(attributes: util.Map[String, AnyRef]): String = {
    val modified = attributes.get("lastModifiedTime").asInstanceOf[FileTime].toInstant
    val nanos = TimeUnit.SECONDS.toNanos(modified.getEpochSecond) + modified.getNano
    s"${attributes.get("dev")}:${attributes.get("ino")}:${attributes.get("size")}:$nanos"
  }

  /** The file's own bytes from `offset` on. */
  def openRaw(file: SourceFile, conf: Configuration, offset: Long = 0): InputStream =
    try {
      if (isUri(file.path)) {
        val stream: FSDataInputStream = new Path(file.path).getFileSystem(conf).open(new Path(file.path))
        if (offset > 0) stream.seek(offset)
        stream
      } else {
        val channel = Files.newByteChannel(Paths.get(file.path), StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)
        channel.position(offset)
        Channels.newInputStream(channel)
      }
    } catch {
      case _: NoSuchFileException | _: FileNotFoundException if isGone(file, conf) => throw new FileChanged(file.path, isGone = true)
    }

  /** The (decompressed) content from `offset` on. */
  def openContent(file: SourceFile, conf: Configuration, offset: Long): InputStream = {
    if (!isGzip(file.path)) return openRaw(file, conf, offset)
    if (file.size == 0) return InputStream.nullInputStream()
    val stream = new GZIPInputStream(openRaw(file, conf), 1 << 16)
    stream.skipNBytes(offset)
    stream
  }

  /** @throws FileChanged when the file is not the one that was listed, or was rewritten meanwhile. */
  def assertUnchanged(file: SourceFile, conf: Configuration): Unit =
    if (stampAnywhere(fileStamp(file.path, conf), file.path) != stampAnywhere(file.fileStamp, file.path)) throw new FileChanged(file.path, isGone = false)

  /** Whether the file is here as it was listed. */
  def isStill(file: SourceFile, conf: Configuration): Boolean =
    try {
      assertUnchanged(file, conf)
      true
    } catch { case _: FileChanged => false }

  /** A stamp as every machine sees it: they number the devices of one network file system each in its own way. */
  private def stampAnywhere(fileStamp: String, path: String): String = if (isUri(path)) fileStamp else fileStamp.substring(fileStamp.indexOf(':') + 1)

  /**
   * Moves a file of Hadoop's into a directory, never over another one, or deletes it; `reason` goes into a file beside it.
   * What is not the file that was listed any more stays where it is; one that leaves meanwhile is taken by somebody else.
   * (Local files are put away by the other side.)
   */
  def dispose(file: SourceFile, directory: Option[String], reason: Option[String], conf: Configuration): Unit = {
    val source = new Path(file.path)
    val fileSystem = source.getFileSystem(conf)
    if (isStill(file, conf)) directory match {
      case None => fileSystem.delete(source, false)
      case Some(name) =>
        val target = freePlace(fileSystem, new Path(name), source.getName)
        fileSystem.mkdirs(target.getParent)
        if (isMoved(fileSystem, source, target)) reason.foreach { text =>
          val note = Json.mapper.createObjectNode().put("file", target.getName).put("deliveredAs", source.getName).put("reason", text).put("quarantinedAt", java.time.Instant.now.toString)
          val out = fileSystem.create(new Path(s"$target.reason.json"), true)
          try out.write(Json.mapper.writerWithDefaultPrettyPrinter.writeValueAsBytes(note)) finally out.close()
        }
        else if (isStill(file, conf)) throw new IOException(s"cannot move $source to $target")
    }
  }

  private def isMoved(fileSystem: FileSystem, source: Path, target: Path): Boolean =
    try fileSystem.rename(source, target)
    catch { case _: FileNotFoundException => false }

  private def freePlace(fileSystem: FileSystem, directory: Path, name: String): Path = {
    val ending = math.max(name.toLowerCase.lastIndexOf(".csv"), if (isGzip(name)) -1 else name.lastIndexOf('.'))
    val dot = if (ending > 0) ending else name.length
    val names = Iterator.single(name) ++ Iterator.from(1).map(number => s"${name.substring(0, dot)}-$number${name.substring(dot)}")
    names.map(new Path(directory, _)).find(!fileSystem.exists(_)).get
  }

  private def isGone(file: SourceFile, conf: Configuration): Boolean =
    try {
      fileStamp(file.path, conf)
      false
    } catch { case changed: FileChanged => changed.isGone }
}

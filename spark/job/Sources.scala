package ecompipe

import java.io.{FileNotFoundException, IOException, InputStream}
import java.nio.channels.Channels
import java.nio.file.attribute.FileTime
import java.nio.file.{AccessDeniedException, DirectoryStream, Files, LinkOption, NoSuchFileException, NotDirectoryException, Path => JavaPath, Paths, StandardOpenOption}
import java.util
import java.util.concurrent.{ConcurrentHashMap, TimeUnit}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{EtagSource, FileStatus, FileSystem, Path}
import org.apache.hadoop.hdfs.protocol.HdfsFileStatus
import org.apache.hadoop.util.functional.FutureIO

/**
 * A file as it was listed.
 *
 * @param name relative to the directory that was listed; parts are separated by slashes
 * @param fileStamp tells it from another one that takes its name later
 */
final case class SourceFile(path: String, name: String, fileStamp: String, size: Long) extends Serializable

/** The file is not what was listed any more. */
final class FileChanged(val path: String, val isGone: Boolean) extends Exception(path)

/**
 * Reads plain paths through the JVM, never following a link, and URIs (`s3a://…`, `hdfs://…`, `file:///…`) through
 * Hadoop's file systems.
 */
object Sources {
  def isUri(path: String): Boolean = path.matches("(?s)[a-zA-Z][a-zA-Z0-9+.-]*:/.*")

  def isGzip(path: String): Boolean = path.toLowerCase.endsWith(".gz")

  /** Regular files with a name for us, in the order of names. What leaves while it is looked at is taken by somebody else. */
  def list(directory: String, conf: Configuration, selection: Selection = Selection.Everything): Seq[SourceFile] = {
    val found = Seq.newBuilder[SourceFile]
    if (isUri(directory)) listUri(new Path(directory), conf, selection, found += _) else listLocal(Paths.get(directory), selection, found += _)
    found.result().sortBy(_.name)
  }

  private def listUri(directory: Path, conf: Configuration, selection: Selection, add: SourceFile => Unit): Unit = {
    val fileSystem = directory.getFileSystem(conf)
    val ownDirs = selection.ownDirs.map(own => new Path(own).makeQualified(fileSystem.getUri, fileSystem.getWorkingDirectory)).toSet
    def descend(entries: Array[FileStatus], parent: String): Unit = entries.foreach { status =>
      val name = parent + status.getPath.getName
      if (status.isFile) {
        if (selection.isWanted(name)) add(SourceFile(status.getPath.toString, name, stampOf(status), status.getLen))
      } else if (status.isDirectory && selection.isDescended(name) && !ownDirs.contains(status.getPath) && !isLink(status)) {
        val entries =
          try fileSystem.listStatus(status.getPath)
          catch { case _: FileNotFoundException => Array.empty[FileStatus] }
        descend(entries, s"$name/")
      }
    }
    descend(fileSystem.listStatus(directory), "")
  }

  /** Only Hadoop's local file system follows links when it lists: round and round, where one leads back. */
  private def isLink(status: FileStatus): Boolean = status.getPath.toUri.getScheme == "file" && Files.isSymbolicLink(Paths.get(status.getPath.toUri.getPath))

  private def listLocal(directory: JavaPath, selection: Selection, add: SourceFile => Unit): Unit = {
    def isOwn(entry: JavaPath) = selection.ownDirs.map(Paths.get(_)).exists(own => entry == own || (Files.exists(own) && Files.isSameFile(entry, own)))
    def descend(entries: DirectoryStream[JavaPath], parent: String): Unit = {
      val below = Seq.newBuilder[(JavaPath, String)]
      try {
        entries.forEach { entry =>
          val name = parent + entry.getFileName
          val (isWanted, isDescended) = (selection.isWanted(name), selection.isDescended(name))
          if (isWanted || isDescended) {
            try {
              val attributes = attributesOf(entry)
              if (isWanted && attributes.get("isRegularFile") == true) add(SourceFile(entry.toString, name, stampOf(attributes), attributes.get("size").asInstanceOf[Long]))
              else if (isDescended && attributes.get("isDirectory") == true && !isOwn(entry)) below += entry -> s"$name/"
            } catch { case _: NoSuchFileException => }
          }
        }
      } finally entries.close()
      // Afterwards: a directory of any depth is listed with one descriptor.
      below.result().foreach { case (entry, name) => openIfPossible(entry).foreach(descend(_, name)) }
    }
    // The other side tells of those that can't be listed.
    def openIfPossible(path: JavaPath): Option[DirectoryStream[JavaPath]] =
      try Some(Files.newDirectoryStream(path))
      catch { case _: NoSuchFileException | _: NotDirectoryException | _: AccessDeniedException => None }
    descend(Files.newDirectoryStream(directory), "")
  }

  /** For local files as `fileStampOf` in `src/pipeline/stream/content.ts`. */
  def fileStamp(path: String, conf: Configuration): String =
    try {
      if (isUri(path)) stampOf(new Path(path).getFileSystem(conf).getFileStatus(new Path(path)))
      else stampOf(attributesOf(Paths.get(path)))
    } catch {
      case _: NoSuchFileException | _: FileNotFoundException => throw new FileChanged(path, isGone = true)
    }

  /** What was listed a while ago, as it is now; nothing when it left. An object costs a request for that: it is told when it is read. */
  def lookAgain(file: SourceFile): Option[SourceFile] =
    if (isUri(file.path)) Some(file)
    else
      try {
        val attributes = attributesOf(Paths.get(file.path))
        Some(file.copy(fileStamp = stampOf(attributes), size = attributes.get("size").asInstanceOf[Long])).filter(_ => attributes.get("isRegularFile") == true)
      } catch { case _: NoSuchFileException => None }

  /**
   * Object stores say times in seconds, and two objects may follow each other faster than that: a name and an ETag tell
   * them apart where names or bytes differ, as a file's number in HDFS tells two files. The time comes last, in
   * nanoseconds, as of local files.
   */
  private def stampOf(status: FileStatus): String = {
    val name = status.getPath.getName
    val identity = status match {
      case hdfs: HdfsFileStatus => s"${hdfs.getFileId}:"
      case source: EtagSource if source.getEtag != null => s"$EtagMark${source.getEtag.replace("\"", "")}:$name:"
      case _ => s"$name:"
    }
    s"$identity${status.getLen}:${TimeUnit.MILLISECONDS.toNanos(status.getModificationTime)}"
  }

  private def attributesOf(path: JavaPath): util.Map[String, AnyRef] = Files.readAttributes(path, "unix:dev,ino,size,lastModifiedTime,isRegularFile,isDirectory", LinkOption.NOFOLLOW_LINKS)

  private def stampOf(attributes: util.Map[String, AnyRef]): String = {
    val modified = attributes.get("lastModifiedTime").asInstanceOf[FileTime].toInstant
    val nanos = TimeUnit.SECONDS.toNanos(modified.getEpochSecond) + modified.getNano
    s"${attributes.get("dev")}:${attributes.get("ino")}:${attributes.get("size")}:$nanos"
  }

  /** Of an object store, whose objects are replaced as a whole and never written to. */
  def isObject(file: SourceFile): Boolean = file.fileStamp.startsWith(EtagMark)

  private val EtagMark = "etag-"

  /**
   * Does something that reads a file, or more of them.
   * @throws FileChanged where that failed because one of them is not what was listed any more: an object store says so at
   *   the first byte, each in its own words.
   */
  def reading[T](files: Seq[SourceFile], conf: Configuration)(body: => T): T =
    try body
    catch {
      case error: IOException =>
        files.foreach(assertUnchanged(_, conf))
        throw error
    }

  /** The file's own bytes from `offset` on. */
  def openRaw(file: SourceFile, conf: Configuration, offset: Long = 0): InputStream =
    try {
      if (isUri(file.path)) {
        val path = new Path(file.path)
        // With its length told, an object store is not asked for it.
        val opening = path.getFileSystem(conf).openFile(path).opt("fs.option.openfile.length", file.size.toString).build()
        val stream = FutureIO.awaitFuture(opening)
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
    val stream = inflate(file, openRaw(file, conf))
    stream.skipNBytes(offset)
    stream
  }

  def inflate(file: SourceFile, raw: InputStream): InputStream = if (file.size == 0) raw else new GzipMembers(raw)

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
   * (Local files are disposed of by the other side.)
   */
  def dispose(file: SourceFile, directory: Option[String], reason: Option[String], conf: Configuration): Unit = {
    val source = new Path(file.path)
    val fileSystem = source.getFileSystem(conf)
    if (isStill(file, conf)) directory match {
      case None => fileSystem.delete(source, false)
      case Some(name) =>
        val target = reservePlace(fileSystem, new Path(new Path(name), file.name).getParent, source.getName)
        try {
          fileSystem.mkdirs(target.getParent)
          if (isMoved(fileSystem, source, target)) reason.foreach(note(fileSystem, target, file.name, _))
          else if (isStill(file, conf)) throw new IOException(s"cannot move $source to $target")
        } finally reserved.remove(target)
    }
  }

  private def note(fileSystem: FileSystem, target: Path, deliveredAs: String, reason: String): Unit = {
    val name = deliveredAs.substring(0, deliveredAs.lastIndexOf('/') + 1) + target.getName
    val text = Json.mapper.createObjectNode().put("file", name).put("deliveredAs", deliveredAs).put("reason", reason).put("quarantinedAt", java.time.Instant.now.toString)
    val out = fileSystem.create(new Path(s"$target.reason.json"), true)
    try out.write(Json.mapper.writerWithDefaultPrettyPrinter.writeValueAsBytes(text)) finally out.close()
  }

  private def isMoved(fileSystem: FileSystem, source: Path, target: Path): Boolean =
    try fileSystem.rename(source, target)
    catch { case _: FileNotFoundException => false }

  /** Where files are being moved to: an object store's rename would write over what another one is about to become. */
  private val reserved = ConcurrentHashMap.newKeySet[Path]

  private def reservePlace(fileSystem: FileSystem, directory: Path, name: String): Path = {
    val ending = math.max(name.toLowerCase.lastIndexOf(".csv"), if (isGzip(name)) -1 else name.lastIndexOf('.'))
    val dot = if (ending > 0) ending else name.length
    val names = Iterator.single(name) ++ Iterator.from(1).map(number => s"${name.substring(0, dot)}-$number${name.substring(dot)}")
    names.map(new Path(directory, _)).find { place =>
      reserved.add(place) && {
        val isFree = !fileSystem.exists(place)
        if (!isFree) reserved.remove(place)
        isFree
      }
    }.get
  }

  private def isGone(file: SourceFile, conf: Configuration): Boolean =
    try {
      fileStamp(file.path, conf)
      false
    } catch { case changed: FileChanged => changed.isGone }
}

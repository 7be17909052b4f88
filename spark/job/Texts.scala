package ecompipe

import java.io.FileNotFoundException
import java.nio.charset.StandardCharsets
import java.util.UUID
import java.util.concurrent.Executors
import com.fasterxml.jackson.databind.JsonNode
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Options.Rename
import org.apache.hadoop.fs.{CommonPathCapabilities, FileAlreadyExistsException, FileContext, FileSystem, Path, UnsupportedFileSystemException}
import scala.util.control.NonFatal

/** Small texts that the other side keeps where only Hadoop's file systems reach them: its checkpoint. */
final class Texts(control: Control, conf: Configuration) {
  /** They are read and written in the order in which that is asked, beside all else. */
  private val inOrder = Executors.newSingleThreadExecutor(Threads.daemons("texts"))

  def take(command: JsonNode): Unit = inOrder.execute(() => answer(command))

  private def answer(command: JsonNode): Unit =
    try {
      val path = new Path(command.get("path").asText)
      val fileSystem = path.getFileSystem(conf)
      val text = command.get("type").asText match {
        case "read" => read(fileSystem, path)
        case "write" =>
          val bytes = command.get("text").asText.getBytes(StandardCharsets.UTF_8)
          if (command.path("isNew").asBoolean) create(fileSystem, path, bytes) else replace(fileSystem, path, bytes)
          null
        case "remove" =>
          fileSystem.delete(path, false)
          null
      }
      control.send("text", _.put("id", command.get("id").asLong).put("text", text))
    } catch { case NonFatal(error) => control.sendFailed(command, error) }

  private def read(fileSystem: FileSystem, path: Path): String =
    try {
      val stream = fileSystem.open(path)
      try new String(stream.readAllBytes(), StandardCharsets.UTF_8) finally stream.close()
    } catch { case _: FileNotFoundException => null }

  /** Of several that do this at a time, the first one has written it. */
  private def create(fileSystem: FileSystem, path: Path, bytes: Array[Byte]): Unit =
    try write(fileSystem, path, bytes, overwrite = false)
    catch { case _: FileAlreadyExistsException => }

  /** Whoever reads meanwhile reads the text before or this one, and so does who comes after a crash. */
  private def replace(fileSystem: FileSystem, path: Path, bytes: Array[Byte]): Unit =
    // An object can be seen only as a whole, and its rename is a copy.
    if (fileSystem.hasPathCapability(path, CommonPathCapabilities.ABORTABLE_STREAM)) write(fileSystem, path, bytes, overwrite = true)
    else {
      val written = new Path(path.getParent, s".${path.getName}.${UUID.randomUUID()}")
      try {
        write(fileSystem, written, bytes, overwrite = false)
        FileContext.getFileContext(path.toUri, conf).rename(written, path, Rename.OVERWRITE)
      } catch {
        case _: UnsupportedFileSystemException => write(fileSystem, path, bytes, overwrite = true)
      } finally fileSystem.delete(written, false)
    }

  private def write(fileSystem: FileSystem, path: Path, bytes: Array[Byte], overwrite: Boolean): Unit = {
    val stream = fileSystem.create(path, overwrite)
    try stream.write(bytes) finally stream.close()
  }
}

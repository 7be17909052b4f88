package ecompipe

import java.io.{File, InputStream, OutputStream, PrintStream}
import java.net.{StandardProtocolFamily, UnixDomainSocketAddress}
import java.nio.ByteBuffer
import java.nio.channels.{ClosedChannelException, ServerSocketChannel, SocketChannel}
import java.nio.file.attribute.PosixFilePermissions
import java.nio.file.{Files, Path, Paths}
import java.util.concurrent.TimeUnit

/**
 * The same job, submitted by itself: `spark-submit --class ecompipe.Stream ecompipe-spark.jar --input DIR …`, in client and
 * in cluster mode. What the driver is told comes from a process that it starts beside itself, out of the same jar (see
 * Bundle): `ecompipe stream --engine spark` with the arguments of this one. Its exit code is ours, and when either of the
 * two is gone, the other one ends: whatever they were doing is a crash, and that is safe.
 */
object Stream {
  def main(arguments: Array[String]): Unit = {
    val home = Files.createTempDirectory("ecompipe-", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")))
    Bundle.unpack(home)
    val socket = socketIn(home)
    val server = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket))
    val process = start(home, socket, arguments)
    Runtime.getRuntime.addShutdownHook(new Thread(() => end(process, home), "end"))
    process.onExit.thenRun(() => server.close())
    try {
      val channel = server.accept()
      Files.deleteIfExists(socket)
      Main.run(controlOver(channel, () => System.exit(codeOf(process, home))), () => endAs(codeOf(process, home)))
    } catch {
      // It has said on its standard error why it ends.
      case _: ClosedChannelException => System.exit(codeOf(process, home))
    }
  }

  private def start(home: Path, socket: Path, arguments: Array[String]): Process = {
    val named = arguments.map { case "--input" => "--input-dir"; case other => other }
    val command = Seq(home.resolve(Bundle.Program).toString, "stream", "--engine", "spark") ++ named
    val builder = new ProcessBuilder(command: _*).redirectInput(new File("/dev/null")).redirectOutput(ProcessBuilder.Redirect.INHERIT).redirectError(ProcessBuilder.Redirect.INHERIT)
    // Its own first line starts it, with the options that it wants, by the Node.js that it finds first.
    builder.environment.merge("PATH", home.toString, (others, own) => s"$own:$others")
    builder.environment.put("ECOMPIPE_SPARK_SOCKET", socket.toString)
    builder.start()
  }

  /** The path of a socket has at most 107 bytes, and containers of a cluster may have long ones. */
  private def socketIn(home: Path): Path = {
    val usual = home.resolve("driver.sock")
    if (usual.toString.length < 100) usual else Paths.get("/tmp").resolve(home.getFileName + ".sock")
  }

  private def controlOver(channel: SocketChannel, whenGone: () => Unit): Control = {
    // Not those of Channels: before Java 19 a write there waits for a read that waits for bytes (JDK-8279339).
    val in = new InputStream {
      override def read(): Int = throw new UnsupportedOperationException
      override def read(bytes: Array[Byte], offset: Int, length: Int): Int = channel.read(ByteBuffer.wrap(bytes, offset, length))
    }
    val out = new OutputStream {
      override def write(byte: Int): Unit = write(Array(byte.toByte), 0, 1)
      override def write(bytes: Array[Byte], offset: Int, length: Int): Unit = {
        val buffer = ByteBuffer.wrap(bytes, offset, length)
        while (buffer.hasRemaining) channel.write(buffer)
      }
    }
    new Control(in, new PrintStream(out), whenGone)
  }

  /** YARN takes every exit for a failure, and would start the driver again: what went well returns from `main`. */
  private def endAs(code: Int): Unit = if (code != 0) System.exit(code)

  /** Waits for the other process, which has nothing left to do. */
  private def codeOf(process: Process, home: Path): Int = {
    val code = process.waitFor()
    Bundle.remove(home)
    code
  }

  /** On a signal: Spark ends at the same time, so a batch that is open is rolled back. */
  private def end(process: Process, home: Path): Unit = {
    process.destroy()
    if (!process.waitFor(EndsWithinSeconds, TimeUnit.SECONDS)) process.destroyForcibly()
    Bundle.remove(home)
  }

  private def EndsWithinSeconds = 20L
}

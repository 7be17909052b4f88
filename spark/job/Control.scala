package ecompipe

import java.io.{BufferedReader, InputStream, InputStreamReader, PrintStream}
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Paths}
import java.util.concurrent.{LinkedBlockingQueue, ThreadFactory}
import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.node.ObjectNode

/**
 * Messages between this process and the one that tells it what to do: one line of JSON each. When the other side is gone,
 * this one ends at once, without a word to Spark: whatever it was doing is a crash for it, and that is safe.
 */
final class Control(in: InputStream, out: PrintStream, whenGone: () => Unit = () => Runtime.getRuntime.halt(1)) {
  private val commands = new LinkedBlockingQueue[JsonNode]
  @volatile private var onText: JsonNode => Unit = (_: JsonNode) => throw new IllegalStateException("nothing is to be read or written before `ready`")
  /** Nothing is left to do, and each side ends by itself. */
  @volatile private var isFinished = false
  @volatile private var stop: () => Unit = () => Runtime.getRuntime.halt(0)

  private val reader = new Thread(() => {
    val lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8))
    var line = lines.readLine()
    while (line != null) {
      val command = Json.mapper.readTree(line)
      command.get("type").asText match {
        case "stop" => new Thread(() => stop(), "stop").start()
        case "read" | "write" | "remove" => onText(command)
        case _ => commands.put(command)
      }
      line = lines.readLine()
    }
    if (!isFinished) whenGone()
  }, "control")
  reader.setDaemon(true)
  reader.start()

  /** What `stop` does from now on; until then there is nothing to stop, and the process ends. */
  def onStop(action: () => Unit): Unit = stop = action

  /** What `read`, `write` and `remove` do; called by the thread that reads commands, which must not wait. */
  def onTexts(action: JsonNode => Unit): Unit = onText = action

  /** Waits for a command of one of these types. */
  def next(types: String*): JsonNode = {
    val command = commands.take()
    if (!types.contains(command.get("type").asText)) throw new IllegalStateException(s"unexpected command ${command.get("type").asText}")
    command
  }

  def send(kind: String, fill: ObjectNode => ObjectNode): Unit = {
    val message = fill(Json.mapper.createObjectNode().put("type", kind))
    if (kind == "finished") isFinished = true
    out.synchronized {
      out.write((message.toString + "\n").getBytes(StandardCharsets.UTF_8))
      out.flush()
    }
  }

  /** Answers a command that failed for good. */
  def sendFailed(command: JsonNode, error: Throwable): Unit =
    send("failed", _.put("id", command.get("id").asLong).put("message", Failures.rootMessage(error)))
}

object Threads {
  /** Threads that don't keep the process from ending. */
  def daemons(name: String): ThreadFactory = task => {
    val thread = new Thread(task, name)
    thread.setDaemon(true)
    thread
  }
}

object Failures {
  /** The innermost message, without the stack trace that Spark puts into it. */
  def rootMessage(error: Throwable): String = {
    var root = error
    while (root.getCause != null && root.getCause != root) root = root.getCause
    String.valueOf(root.getMessage).split("\n\\s*at ")(0).split("\nDriver stacktrace:")(0).trim
  }
}

/**
 * As `failpoint` in `src/platform/failpoint.ts`, for the moments of the driver: `ECOMPIPE_TEST_SPARK_FAILPOINT=NAME:N=kill`, or
 * `NAME=wait:FILE`, which waits there until the file exists.
 */
object Failpoint {
  private val Armed = "([a-z-]+)(?::(\\d+))?=(kill|wait:.+)".r
  private var left = 0
  private val (armed: String, action: String) = sys.env.getOrElse("ECOMPIPE_TEST_SPARK_FAILPOINT", "") match {
    case Armed(name, count, action) =>
      left = if (count == null) 1 else count.toInt
      (name, action)
    case _ => ("", "")
  }

  def pass(name: String): Unit = if (name == armed) {
    if (action == "kill") synchronized {
      left -= 1
      // SIGKILL, as a crash: nothing is cleaned up.
      if (left == 0) new ProcessBuilder("kill", "-9", ProcessHandle.current.pid.toString).start().waitFor()
    }
    else while (!Files.exists(Paths.get(action.stripPrefix("wait:")))) Thread.sleep(20)
  }
}

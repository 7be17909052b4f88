package ecompipe

import java.nio.file.Paths
import java.util.concurrent.Executors
import scala.util.control.NonFatal
import com.fasterxml.jackson.databind.JsonNode
import org.apache.hadoop.conf.Configuration
import org.apache.spark.TaskContext
import org.apache.spark.sql.streaming.{StreamingQuery, Trigger}
import org.apache.spark.sql.{DataFrame, SparkSession}
import org.apache.spark.util.SerializableConfiguration

/**
 * The Spark job of `ecompipe stream --engine spark`. Structured Streaming finds the files and cuts the backlog into
 * micro-batches; the executors read, hash and cut them, and stage their rows in PostgreSQL. What becomes of the rows is
 * decided by another process, which has started this one or was started by it (Stream), in a transaction of its own, with
 * the code of the native engine (`src/pipeline/stream/spark/`): this side only does what it is told.
 */
object Main {
  def main(arguments: Array[String]): Unit =
    if (arguments.sameElements(Array("locate-driver"))) locateDriver()
    else {
      val control = new Control(System.in, System.out)
      // Whatever else prints must not get between the messages.
      System.setOut(System.err)
      run(control, () => System.exit(0))
    }

  /** For `ecompipe spark prepare`: where the JDBC driver is that Spark was started with. */
  private def locateDriver(): Unit = {
    val driver = Thread.currentThread.getContextClassLoader.loadClass("org.postgresql.Driver")
    println(s"driver ${Paths.get(driver.getProtectionDomain.getCodeSource.getLocation.toURI)}")
  }

  /** Does what it is told until there is nothing left to do, and then `end`. */
  def run(control: Control, end: () => Unit): Unit =
    try {
      val session = SparkSession.builder().getOrCreate()
      // A cluster that doesn't take the application stops its context, here or a moment later.
      if (session.sparkContext.isStopped) throw new IllegalStateException(s"the Spark master ${session.sparkContext.master} does not take the application")
      session.sparkContext.setLogLevel("WARN")
      control.onTexts(new Texts(control, session.sparkContext.hadoopConfiguration).take)
      control.send("ready", _.put("spark", session.version).put("master", session.sparkContext.master))
      val settings = control.next("start")
      val query = new Job(session, control, settings).start()
      control.onStop(() => query.stop())
      control.send("started", identity)
      query.awaitTermination()
      session.stop()
      control.send("finished", identity)
      end()
    } catch {
      case error: Throwable =>
        control.send("died", _.put("message", Failures.rootMessage(error)))
        error.printStackTrace()
        Runtime.getRuntime.halt(1)
    }
}

/** One streaming query, and what a micro-batch consists of. */
final class Job(session: SparkSession, control: Control, settings: JsonNode) {
  private val selection = settings.get("selection")
  private val inspecting = {
    val maxFileBytes = if (settings.hasNonNull("maxFileBytes")) settings.get("maxFileBytes").asLong else Long.MaxValue
    InspectOptions(settings.get("pieceBytes").asInt, maxFileBytes, Selection.parse(selection).feeds)
  }
  private val database = {
    val properties = Json.mapper.convertValue(settings.get("database").get("properties"), classOf[java.util.Map[String, String]])
    val entries = Array.newBuilder[(String, String)]
    properties.forEach((name, value) => entries += name -> value)
    DatabaseOptions(settings.get("database").get("url").asText, entries.result().toMap, settings.get("database").get("session").asText)
  }
  private var batch = 0L
  /** Of the stages that stage rows, which Spark itself counts nothing of. */
  private val rowsStaged = session.sparkContext.longAccumulator("rows staged")
  private val hadoop = new SerializableConfiguration(session.sparkContext.hadoopConfiguration)

  def start(): StreamingQuery = {
    val load: (DataFrame, Long) => Unit = loadBatch
    session.readStream
      .format(classOf[FileSource].getName)
      .option("directory", settings.get("inputDir").asText)
      .option("maxFiles", settings.get("maxFiles").asInt)
      .option("maxBytes", settings.get("maxBytes").asLong)
      .option("largeBytes", settings.get("largeBytes").asLong)
      .option("selection", selection.toString)
      .option("pieceBytes", inspecting.pieceBytes)
      .option("maxFileBytes", inspecting.maxFileBytes)
      .load()
      .writeStream
      .queryName("ecompipe")
      .option("checkpointLocation", settings.get("checkpointDir").asText)
      .trigger(if (settings.get("once").asBoolean) Trigger.AvailableNow() else Trigger.ProcessingTime(settings.get("triggerMs").asLong))
      .foreachBatch(load)
      .start()
  }

  /** Has the files inspected, and then does what it is told until the batch is done. Running it again is harmless. */
  private def loadBatch(files: DataFrame, batch: Long): Unit = {
    this.batch = batch
    describe("inspect", TakenFiles.last)
    val inspections = files.collect().map(row => Inspect.lookAgain(Inspection.fromBytes(row.getAs[Array[Byte]](0)), hadoop.value))
    sendInspections("batch", batch, inspections)
    Failpoint.pass("inspected")
    var done = false
    while (!done) {
      val command = control.next("stage", "cut", "dispose", "done")
      command.get("type").asText match {
        case "stage" => answer(command)(stage(command))
        case "cut" => answer(command)(cutAgain(command))
        case "dispose" => disposers.execute(() => dispose(command))
        case "done" =>
          Json.list(command.get("leave")).foreach { file =>
            LeftFiles.leave(file.get("path").asText, file.get("fileStamp").asText, file.get("forMs").asLong)
            if (file.path("isUnfinished").asBoolean) UnfinishedFiles.add(file.get("path").asText)
          }
          done = true
      }
    }
    Failpoint.pass("batch-done")
  }

  /** What Spark's pages call the next jobs. */
  private def describe(action: String, files: Seq[SourceFile]): Unit = {
    val names = files.map(_.name).distinct
    val more = if (names.size > NamesShown) s" and ${names.size - NamesShown} more" else ""
    session.sparkContext.setJobDescription(s"batch $batch: $action ${names.take(NamesShown).mkString(", ")}$more")
  }

  /**
   * Many at a time, as each consists of requests that are waited for; here and not on executors, which would do the same
   * requests, and twice where a task runs twice.
   */
  private lazy val disposers = Executors.newFixedThreadPool(DisposersAtATime, Threads.daemons("disposer"))

  private def dispose(command: JsonNode): Unit =
    try {
      Sources.dispose(Json.sourceFile(command.get("file")), Option(command.get("directory")).map(_.asText), Option(command.get("reason")).map(_.asText), hadoop.value)
      control.send("put", _.put("id", command.get("id").asLong))
    } catch { case NonFatal(error) => control.sendFailed(command, error) }

  /** A job that failed for good is told, not thrown: whether and when to try again is not decided here. */
  private def answer(command: JsonNode)(action: => Unit): Unit =
    try action
    catch {
      case error @ (_: org.apache.spark.SparkException | _: java.io.IOException) if !session.sparkContext.isStopped =>
        control.sendFailed(command, error)
    }

  private def stage(command: JsonNode): Unit = {
    val pieces = Json.list(command.get("pieces")).map { node =>
      val file = Json.sourceFile(node.get("file"))
      StagePiece(node.get("index").asInt, file, node.get("start").asLong, node.get("end").asLong, node.get("firstLine").asLong,
        node.get("firstOrdinal").asLong, Json.list(node.get("columns")).map(_.asText), node.get("unnamed").asInt, node.get("crlf").asBoolean, inspecting.feeds.formatOf(file))
    }
    val request = StageRequest(command.get("table").asText, command.get("asText").asBoolean, Seq.empty)
    val slices = Slices.bySize(pieces, session.sparkContext.defaultParallelism * TasksPerCore)(piece => piece.end - piece.start)
    val (database, hadoop, rowsStaged) = (this.database, this.hadoop, this.rowsStaged)
    describe("stage", pieces.map(_.file))
    val tasks = session.sparkContext.parallelize(slices, slices.size).map { slice =>
      val task = Stage(request, slice, TaskContext.get().taskAttemptId(), database, hadoop.value)
      rowsStaged.add(task.rows)
      task
    }.collect()
    control.send("staged", { message =>
      message.put("id", command.get("id").asLong)
      val list = message.putArray("tasks")
      tasks.foreach { task =>
        val node = list.addObject().put("attempt", task.attempt).put("rows", task.rows)
        val missing = node.putArray("missing")
        task.missing.foreach(missing.add)
        val unseen = node.putArray("unseen")
        task.missing.filter(index => Sources.isStill(pieces(index).file, hadoop.value)).foreach(unseen.add)
        if (task.refusal != null) node.putObject("refusal").put("sqlState", task.refusal._1).put("message", task.refusal._2)
      }
      message
    })
  }

  /** For a file that another engine has loaded a part of: pieces from there on. */
  private def cutAgain(command: JsonNode): Unit = {
    val (inspecting, hadoop, files) = (this.inspecting, this.hadoop, Seq(Json.sourceFile(command.get("file"))))
    describe("cut", files)
    val from = Some((command.get("offset").asLong, command.get("lines").asLong))
    val inspections = session.sparkContext.parallelize(files, 1).map(Inspect(_, hadoop.value, inspecting, from)).collect().map(Inspect.lookAgain(_, hadoop.value))
    sendInspections("cut", command.get("id").asLong, inspections)
  }

  private def sendInspections(kind: String, id: Long, inspections: Array[Inspection]): Unit =
    control.send(kind, { message =>
      message.put("id", id)
      val list = message.putArray("files")
      inspections.foreach { inspection =>
        val node = list.addObject()
        Json.write(node.putObject("file"), inspection.file)
        node.put("sha256", inspection.sha256.map(byte => f"$byte%02x").mkString).put("size", inspection.size).put("head", inspection.head).put("fault", inspection.fault)
        val pieces = node.putArray("pieces")
        inspection.pieces.foreach(piece => pieces.addObject().put("start", piece.start).put("end", piece.end).put("firstLine", piece.firstLine).put("lines", piece.lines).put("rows", piece.rows).put("plain", piece.plain).put("crlf", piece.crlf))
      }
      message
    })

  /** More tasks than cores, so that one slow executor holds up less. */
  private def TasksPerCore = 2

  private def DisposersAtATime = 64

  private def NamesShown = 3
}

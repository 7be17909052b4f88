package ecompipe

import java.util.concurrent.{ConcurrentHashMap, ExecutorCompletionService, Executors, Future}
import org.apache.spark.SparkContext
import org.apache.spark.util.SerializableConfiguration

/**
 * Files of more bytes than a micro-batch takes. Each is read through by a Spark job of its own, beside the micro-batches,
 * so that no other file waits for that; then it is loaded by so many bytes a micro-batch, and is not read through again.
 *
 * Only half of the cores read such files at a time: the others are left to the micro-batches.
 */
final class LargeFiles(context: SparkContext, inspecting: InspectOptions) {
  private val hadoop = new SerializableConfiguration(context.hadoopConfiguration)
  // A thread of its own inherits the job group of the query that asks first: when that is stopped, so are these jobs.
  private val inspected = new ExecutorCompletionService[Inspection](Executors.newFixedThreadPool(math.max(1, context.defaultParallelism / 2), Threads.daemons("large-file")))
  private val inspections = new ConcurrentHashMap[SourceFile, Future[Inspection]]

  /** Has these files inspected, in this order, and forgets all others. */
  def start(files: Seq[SourceFile]): Unit = {
    inspections.keySet.retainAll(java.util.Arrays.asList(files: _*))
    files.foreach(file => inspections.computeIfAbsent(file, _ => inspected.submit(() => inspect(file))))
  }

  /** What was found; nothing while the file is still being read. */
  def inspectionOf(file: SourceFile): Option[Inspection] = Option(inspections.get(file)).filter(_.isDone).map(_.get)

  /** Waits until one more of them is done. */
  def awaitNext(): Unit = inspected.take()

  private def inspect(file: SourceFile): Inspection = {
    val (inspecting, hadoop) = (this.inspecting, this.hadoop)
    context.setJobDescription(s"inspect ${file.name}, beside the batches")
    val Array(inspection) = context.parallelize(Seq(file), 1).map(Inspect(_, hadoop.value, inspecting)).collect()
    Failpoint.pass("large-inspected")
    inspection
  }
}

/** Large files of which a micro-batch has loaded a part: the next one goes on with them. */
object UnfinishedFiles {
  private val unfinished = ConcurrentHashMap.newKeySet[String]

  def add(path: String): Unit = unfinished.add(path)

  /** Whether that file was one; it is not any more. */
  def take(path: String): Boolean = unfinished.remove(path)
}

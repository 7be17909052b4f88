package ecompipe

import java.util
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.connector.catalog.{SupportsRead, Table, TableCapability, TableProvider}
import org.apache.spark.sql.connector.expressions.Transform
import org.apache.spark.sql.connector.metric.{CustomMetric, CustomSumMetric, CustomTaskMetric}
import org.apache.spark.sql.connector.read.streaming.{MicroBatchStream, Offset, ReadLimit, ReportsSourceMetrics, SupportsTriggerAvailableNow}
import org.apache.spark.sql.connector.read.{InputPartition, PartitionReader, PartitionReaderFactory, Scan, ScanBuilder}
import org.apache.spark.sql.types.{BinaryType, StructType}
import org.apache.spark.sql.util.CaseInsensitiveStringMap
import org.apache.spark.util.SerializableConfiguration

/**
 * A streaming source of files: one row for each, with what an executor finds when it inspects it.
 *
 * Spark's own file source knows files by path and modification time, and forgets none: a file whose name comes back with
 * an older or equal time is never loaded, one older than `maxFileAge` is skipped, and the list of all files ever seen
 * grows in memory and checkpoint. Here the directory is the queue, as for the native engine: what is in it is loaded, what
 * is loaded leaves it, and the ledger in PostgreSQL, which knows files by content, decides about everything else. An
 * offset is only a number, so that a checkpoint and an event log stay small: a micro-batch that is repeated after a crash
 * is about no files, and the next look at the directory finds them.
 */
final class FileSource extends TableProvider {
  override def inferSchema(options: CaseInsensitiveStringMap): StructType = FileSource.Schema
  override def getTable(schema: StructType, partitioning: Array[Transform], properties: util.Map[String, String]): Table = new FileTable
}

object FileSource {
  val Schema: StructType = new StructType().add("inspection", BinaryType)
}

private final class FileTable extends Table with SupportsRead {
  override def name: String = "files"
  override def schema: StructType = FileSource.Schema
  override def capabilities: util.Set[TableCapability] = util.EnumSet.of(TableCapability.MICRO_BATCH_READ)
  override def newScanBuilder(options: CaseInsensitiveStringMap): ScanBuilder = () =>
    new Scan {
      override def readSchema: StructType = FileSource.Schema
      override def supportedCustomMetrics: Array[CustomMetric] = Array(new RowsMetric)
      override def toMicroBatchStream(checkpointLocation: String): MicroBatchStream = {
        val selection = Selection.parse(Json.mapper.readTree(options.get("selection")))
        val inspecting = InspectOptions(options.getInt("pieceBytes", 0), options.getLong("maxFileBytes", Long.MaxValue), selection.feeds)
        val limits = BatchLimits(options.getInt("maxFiles", Int.MaxValue), options.getLong("maxBytes", Long.MaxValue), options.getLong("largeBytes", Long.MaxValue))
        new FileStream(options.get("directory"), limits, selection, inspecting)
      }
    }
}

/** Which micro-batch of files it was; which files those are, only the process that made it knows. */
final case class FilesOffset(look: Long) extends Offset {
  override def json: String = Json.mapper.createObjectNode().put("look", look).toString
}

object FilesOffset {
  def parse(json: String): FilesOffset = FilesOffset(Json.mapper.readTree(json).get("look").asLong)
}

/**
 * What a micro-batch takes.
 *
 * @param largeBytes a file of more is inspected beside the micro-batches, and loaded in parts
 */
private final case class BatchLimits(maxFiles: Int, maxBytes: Long, largeBytes: Long)

/** What one micro-batch is about: files to inspect, and perhaps one that was. */
private final case class Taken(files: Seq[SourceFile], large: Option[LargeFile])

/** @param isFirst this is its first micro-batch: its rows are counted once */
private final case class LargeFile(inspection: Inspection, isFirst: Boolean) {
  def file: SourceFile = inspection.file
}

/**
 * A listing is used up before the next one is made, so that a backlog of a million files is not listed anew for each
 * thousand of them. What left meanwhile is found gone where it is read.
 */
private final class FileStream(directory: String, limits: BatchLimits, selection: Selection, inspecting: InspectOptions) extends MicroBatchStream with SupportsTriggerAvailableNow with ReportsSourceMetrics {
  /** What was listed and is not taken yet. */
  private var listed: Vector[SourceFile] = Vector.empty
  /** Of that, what is inspected beside the micro-batches. */
  private var large: Vector[SourceFile] = Vector.empty
  /** The large file of the last micro-batch. */
  private var lastLarge: Option[SourceFile] = None
  /** The first micro-batches of a backlog are small: nothing of one is loaded before all of it is inspected. */
  private var mostBytes = FileStream.FirstBytes
  /** With AvailableNow, what comes later is not for this run. */
  private var isListedOnce = false
  private val taken = new util.concurrent.ConcurrentHashMap[Long, Taken]
  private lazy val largeFiles = new LargeFiles(session.sparkContext, inspecting)

  private def session = SparkSession.active

  override def initialOffset(): Offset = FilesOffset(0)
  override def deserializeOffset(json: String): Offset = FilesOffset.parse(json)
  override def getDefaultReadLimit: ReadLimit = ReadLimit.maxFiles(limits.maxFiles)
  override def latestOffset(): Offset = throw new UnsupportedOperationException("latestOffset(Offset, ReadLimit) is called instead")

  override def prepareForTriggerAvailableNow(): Unit = {
    list()
    isListedOnce = true
  }

  override def latestOffset(start: Offset, limit: ReadLimit): Offset = synchronized {
    val unfinished = lastLarge.filter(file => UnfinishedFiles.take(file.path))
    if (listed.isEmpty && !isListedOnce) list()
    large = unfinished.toVector ++ large.filterNot(unfinished.contains)
    largeFiles.start(large)
    val (next, rest) = listed.splitAt(FileStream.countWithin(listed, limits.maxFiles, math.min(limits.maxBytes, mostBytes)))
    listed = rest
    if (next.nonEmpty && mostBytes < limits.maxBytes) mostBytes *= 8
    val files = if (isListedOnce) next else next.flatMap(Sources.lookAgain)
    // Nothing else is left: with AvailableNow the query would end.
    if (isListedOnce) while (files.isEmpty && large.nonEmpty && !large.exists(largeFiles.inspectionOf(_).isDefined)) largeFiles.awaitNext()
    val one = large.iterator.flatMap(largeFiles.inspectionOf).map(inspection => LargeFile(inspection, !unfinished.contains(inspection.file))).find(_ => true)
    lastLarge = one.map(_.file)
    large = large.filterNot(lastLarge.contains)
    if (files.isEmpty && one.isEmpty) start
    else {
      val end = FilesOffset(start.asInstanceOf[FilesOffset].look + 1)
      taken.put(end.look, Taken(files, one))
      TakenFiles.last = files ++ lastLarge
      end
    }
  }

  private def list(): Unit = {
    val (more, less) = LeftFiles.without(Sources.list(directory, session.sparkContext.hadoopConfiguration, selection)).toVector.partition(_.size > limits.largeBytes)
    large = more
    listed = less
  }

  override def planInputPartitions(start: Offset, end: Offset): Array[InputPartition] = {
    val Taken(files, large) = taken.getOrDefault(end.asInstanceOf[FilesOffset].look, Taken(Seq.empty, None))
    val slices = Slices.bySize(files, session.sparkContext.defaultParallelism * 2)(_.size + PerFileBytes).map(slice => FileSlice(slice, None))
    // The last one: the others are loaded first.
    (slices ++ large.map(one => FileSlice(Seq.empty, Some(one)))).toArray
  }

  /** The backlog as of the last listing, under the names of other file sources. */
  override def metrics(latestConsumedOffset: util.Optional[Offset]): util.Map[String, String] = synchronized {
    util.Map.of("numFilesOutstanding", (listed.size + large.size).toString, "numBytesOutstanding", (listed ++ large).map(_.size).sum.toString)
  }

  override def createReaderFactory(): PartitionReaderFactory = FileSliceReaderFactory(inspecting, new SerializableConfiguration(session.sparkContext.hadoopConfiguration))
  override def commit(end: Offset): Unit = taken.keySet.removeIf(_ < end.asInstanceOf[FilesOffset].look)
  override def stop(): Unit = ()

  /** What opening a file costs, in bytes that could have been read instead. */
  private def PerFileBytes = 1 << 17
}

/** The files of the micro-batch that was made last, for those who describe it. */
object TakenFiles {
  @volatile var last: Seq[SourceFile] = Seq.empty
}

object FileStream {
  /** What the first micro-batch of a run takes, unless its limit is smaller; the next ones take eight times as much each. */
  val FirstBytes: Long = 4L << 20

  /** How many of the first files a micro-batch takes: at least one, however large it is. */
  def countWithin(files: Seq[SourceFile], maxFiles: Int, maxBytes: Long): Int = {
    var bytes = 0L
    files.iterator.take(maxFiles).zipWithIndex.takeWhile { case (file, index) =>
      bytes += file.size
      index == 0 || bytes <= maxBytes
    }.size
  }
}

private final case class FileSlice(files: Seq[SourceFile], large: Option[LargeFile]) extends InputPartition

private final case class FileSliceReaderFactory(inspecting: InspectOptions, hadoop: SerializableConfiguration) extends PartitionReaderFactory {
  override def createReader(partition: InputPartition): PartitionReader[InternalRow] = new PartitionReader[InternalRow] {
    private val slice = partition.asInstanceOf[FileSlice]
    private val inspections = slice.files.iterator.map(Inspect(_, hadoop.value, inspecting)) ++ slice.large.map(_.inspection)
    private var inspection: Inspection = _
    private var rows = 0L
    override def next(): Boolean = {
      val found = inspections.hasNext
      if (found) {
        inspection = inspections.next()
        if (slice.large.forall(_.isFirst)) rows += inspection.rows
      }
      found
    }
    override def get(): InternalRow = InternalRow(inspection.toBytes)
    override def currentMetricsValues: Array[CustomTaskMetric] = Array(RowsMetric.counted(rows))
    override def close(): Unit = ()
  }
}

/**
 * The rows of the files that were read. It takes the name under which Spark counts what a source gives out, and so its place
 * in a query's progress and on Spark's pages: what this source gives out is files. (Were that to change in Spark, they
 * would count files.)
 */
final class RowsMetric extends CustomSumMetric {
  override def name: String = RowsMetric.Name
  override def description: String = "number of output rows"
}

object RowsMetric {
  private val Name = "numOutputRows"

  def counted(rows: Long): CustomTaskMetric = new CustomTaskMetric {
    override def name: String = Name
    override def value: Long = rows
  }
}

/** Files that stay where they are for now: kept after loading, or to be tried again later. */
object LeftFiles {
  private val left = new util.concurrent.ConcurrentHashMap[String, (String, Long)]

  def leave(path: String, fileStamp: String, forMs: Long): Unit =
    left.put(path, (fileStamp, if (forMs < 0) Long.MaxValue else System.nanoTime() / 1000000 + forMs))

  def without(files: Seq[SourceFile]): Seq[SourceFile] = {
    val present = new util.HashSet[String](files.size * 2)
    files.foreach(file => present.add(file.path))
    left.keySet.retainAll(present)
    files.filter { file =>
      val entry = left.get(file.path)
      entry == null || entry._1 != file.fileStamp || entry._2 <= System.nanoTime() / 1000000
    }
  }
}

object Slices {
  /** Cuts a list into at most `most` neighbours of about the same size. */
  def bySize[T](items: Seq[T], most: Int)(size: T => Long): Seq[Seq[T]] = {
    val target = items.map(size).sum / math.max(most, 1) + 1
    val slices = Seq.newBuilder[Seq[T]]
    var slice = Vector.empty[T]
    var filled = 0L
    items.foreach { item =>
      slice :+= item
      filled += size(item)
      if (filled >= target) {
        slices += slice
        slice = Vector.empty
        filled = 0
      }
    }
    if (slice.nonEmpty) slices += slice
    slices.result()
  }
}

package ecompipe

import java.util
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.connector.catalog.{SupportsRead, Table, TableCapability, TableProvider}
import org.apache.spark.sql.connector.expressions.Transform
import org.apache.spark.sql.connector.read.streaming.{MicroBatchStream, Offset, ReadLimit, SupportsTriggerAvailableNow}
import org.apache.spark.sql.connector.read.{InputPartition, PartitionReader, PartitionReaderFactory, Scan, ScanBuilder}
import org.apache.spark.sql.types.{LongType, StringType, StructType}
import org.apache.spark.sql.util.CaseInsensitiveStringMap
import org.apache.spark.unsafe.types.UTF8String

/**
 * A streaming source of files: one row for each, with its path, fileStamp and size.
 *
 * Spark's own file source knows files by path and modification time, and forgets none: a file whose name comes back with
 * an older or equal time is never loaded, one older than `maxFileAge` is skipped, and the list of all files ever seen
 * grows in memory and checkpoint. Here the directory is the queue, as for the native engine: what is in it is loaded, what
 * is loaded leaves it, and the ledger in PostgreSQL, which knows files by content, decides about everything else. An
 * offset only says which files a micro-batch is about; a lost or repeated one does no harm.
 */
final class FileSource extends TableProvider {
  override def inferSchema(options: CaseInsensitiveStringMap): StructType = FileSource.Schema
  override def getTable(schema: StructType, partitioning: Array[Transform], properties: util.Map[String, String]): Table = new FileTable
}

object FileSource {
  val Schema: StructType = new StructType().add("path", StringType).add("fileStamp", StringType).add("size", LongType)
}

private final class FileTable extends Table with SupportsRead {
  override def name: String = "files"
  override def schema: StructType = FileSource.Schema
  override def capabilities: util.Set[TableCapability] = util.EnumSet.of(TableCapability.MICRO_BATCH_READ)
  override def newScanBuilder(options: CaseInsensitiveStringMap): ScanBuilder = () =>
    new Scan {
      override def readSchema: StructType = FileSource.Schema
      override def toMicroBatchStream(checkpointLocation: String): MicroBatchStream =
        new FileStream(options.get("directory"), options.getInt("maxFiles", Int.MaxValue), Feeds.parse(Json.mapper.readTree(options.get("feeds"))))
    }
}

/** Which files a micro-batch is about. `look` makes two of them differ that are about the same files. */
final case class FilesOffset(look: Long, files: Seq[SourceFile]) extends Offset {
  override def json: String = {
    val node = Json.mapper.createObjectNode().put("look", look)
    val list = node.putArray("files")
    files.foreach(file => Json.write(list.addObject(), file))
    node.toString
  }
}

object FilesOffset {
  def parse(json: String): FilesOffset = {
    val node = Json.mapper.readTree(json)
    FilesOffset(node.get("look").asLong, Json.list(node.get("files")).map(Json.sourceFile))
  }
}

private final class FileStream(directory: String, maxFiles: Int, feeds: Feeds) extends MicroBatchStream with SupportsTriggerAvailableNow {
  /** With AvailableNow: what was there at the start and is not taken yet. */
  private var available: Option[Seq[SourceFile]] = None

  private def session = SparkSession.active

  override def initialOffset(): Offset = FilesOffset(0, Seq.empty)
  override def deserializeOffset(json: String): Offset = FilesOffset.parse(json)
  override def getDefaultReadLimit: ReadLimit = ReadLimit.maxFiles(maxFiles)
  override def prepareForTriggerAvailableNow(): Unit = available = Some(list())
  override def latestOffset(): Offset = throw new UnsupportedOperationException("latestOffset(Offset, ReadLimit) is called instead")

  override def latestOffset(start: Offset, limit: ReadLimit): Offset = {
    val (files, rest) = available.getOrElse(list()).splitAt(maxFiles)
    if (available.isDefined) available = Some(rest)
    if (files.isEmpty) start else FilesOffset(start.asInstanceOf[FilesOffset].look + 1, files)
  }

  private def list(): Seq[SourceFile] = LeftFiles.without(Sources.list(directory, session.sparkContext.hadoopConfiguration, feeds.isWanted))

  override def planInputPartitions(start: Offset, end: Offset): Array[InputPartition] = {
    val files = end.asInstanceOf[FilesOffset].files
    Slices.bySize(files, session.sparkContext.defaultParallelism * 2)(_.size + PerFileBytes).map(slice => FileSlice(slice): InputPartition).toArray
  }

  override def createReaderFactory(): PartitionReaderFactory = FileSliceReaderFactory
  override def commit(end: Offset): Unit = ()
  override def stop(): Unit = ()

  /** What opening a file costs, in bytes that could have been read instead. */
  private def PerFileBytes = 1 << 17
}

private final case class FileSlice(files: Seq[SourceFile]) extends InputPartition

private object FileSliceReaderFactory extends PartitionReaderFactory {
  override def createReader(partition: InputPartition): PartitionReader[InternalRow] = new PartitionReader[InternalRow] {
    private val files = partition.asInstanceOf[FileSlice].files.iterator
    private var file: SourceFile = _
    override def next(): Boolean = {
      val found = files.hasNext
      if (found) file = files.next()
      found
    }
    override def get(): InternalRow = InternalRow(UTF8String.fromString(file.path), UTF8String.fromString(file.fileStamp), file.size)
    override def close(): Unit = ()
  }
}

/** Files that stay where they are for now: kept after loading, or to be tried again later. */
object LeftFiles {
  private val left = new util.concurrent.ConcurrentHashMap[String, (String, Long)]

  def leave(path: String, fileStamp: String, forMs: Long): Unit =
    left.put(path, (fileStamp, if (forMs < 0) Long.MaxValue else System.nanoTime() / 1000000 + forMs))

  def without(files: Seq[SourceFile]): Seq[SourceFile] = {
    left.keySet.retainAll(util.Arrays.asList(files.map(_.path): _*))
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

package ecompipe

import java.io.{ByteArrayInputStream, ByteArrayOutputStream, EOFException, FilterInputStream, IOException, InputStream, ObjectInputStream, ObjectOutputStream}
import java.security.{DigestInputStream, MessageDigest}
import java.util.zip.ZipException
import org.apache.hadoop.conf.Configuration

/** Part of a file that ends where rows end, to be staged on its own. Lines are physical, the first one of the file is 1. */
final case class Piece(start: Long, end: Long, firstLine: Long, lines: Long, rows: Long, plain: Boolean, crlf: Boolean) extends Serializable

/**
 * What one look at a file says.
 *
 * @param head its first line (or the first MiB, when none ends there)
 * @param fault null, or `gone`, `changed`, `unseen` (gone or changed here, but not for the driver), `gzip` (damaged),
 *   `long` or `inflated` (a compressed one that becomes too much), or else what the file system said
 */
final case class Inspection(file: SourceFile, sha256: Array[Byte], size: Long, head: Array[Byte], pieces: Array[Piece], fault: String) extends Serializable {
  def rows: Long = pieces.map(_.rows).sum

  def toBytes: Array[Byte] = {
    val bytes = new ByteArrayOutputStream
    new ObjectOutputStream(bytes).writeObject(this)
    bytes.toByteArray
  }
}

object Inspection {
  def fromBytes(bytes: Array[Byte]): Inspection = new ObjectInputStream(new ByteArrayInputStream(bytes)).readObject().asInstanceOf[Inspection]
}

/** How files are inspected; `maxFileBytes` is the most of a file's (decompressed) content. */
final case class InspectOptions(pieceBytes: Int, maxFileBytes: Long, feeds: Feeds) extends Serializable

/**
 * Reads a file once, from start to end: its SHA-256, and where it can be cut so that every piece can be staged by another
 * executor. Where a record ends depends on where it starts, so this pass is sequential; the staging, which costs many times
 * more, is not.
 */
object Inspect {
  /**
   * @param from offset and physical lines that are done already; without, everything after the header
   */
  def apply(file: SourceFile, conf: Configuration, options: InspectOptions, from: Option[(Long, Long)] = None): Inspection = {
    val InspectOptions(pieceBytes, maxBytes, feeds) = options
    try {
      if (!Sources.isUri(file.path)) Sources.assertUnchanged(file, conf)
      if (file.size > maxBytes) throw new TooLong("long")
      val inspection = Sources.reading(Seq(file), conf)(look(file, conf, pieceBytes, maxBytes, from, feeds.formatOf(file)))
      // An object that was replaced is noticed when it is staged or disposed of: asking for each here would double the requests.
      if (!Sources.isObject(file)) Sources.assertUnchanged(file, conf)
      inspection
    } catch {
      case changed: FileChanged => failed(file, if (changed.isGone) "gone" else "changed")
      case tooLong: TooLong => failed(file, tooLong.fault, hash(file, conf))
      case _ @ (_: ZipException | _: EOFException) if Sources.isGzip(file.path) => failed(file, "gzip", hash(file, conf))
      case error: IOException => failed(file, s"${error.getClass.getSimpleName}: ${error.getMessage}")
    }
  }

  /** A compressed file is known by its own bytes and cut by its content, in one pass. */
  private def look(file: SourceFile, conf: Configuration, pieceBytes: Int, maxBytes: Long, from: Option[(Long, Long)], format: Format): Inspection = {
    val digest = MessageDigest.getInstance("SHA-256")
    val offset = from.fold(0L)(_._1)
    val isWholeGzip = from.isEmpty && Sources.isGzip(file.path)
    val raw = if (isWholeGzip) new DigestInputStream(Sources.openRaw(file, conf), digest) else null
    val content = if (isWholeGzip) new LimitedStream(Sources.inflate(file, raw), maxBytes, file.size) else new DigestInputStream(Sources.openContent(file, conf, offset), digest)
    try {
      val inspection = cut(file, content, pieceBytes, from, format)
      // What is behind the compressed data is of the file, too.
      if (isWholeGzip) drain(raw)
      inspection.copy(sha256 = digest.digest())
    } finally content.close()
  }

  /**
   * An executor that finds a file gone may only not have its directory: what the driver sees decides. A file that is gone
   * is taken by somebody else; one that the executors do not see would wait for ever, without a word.
   */
  def lookAgain(inspection: Inspection, conf: Configuration): Inspection = inspection.fault match {
    case "gone" | "changed" if Sources.isStill(inspection.file, conf) => inspection.copy(fault = "unseen")
    case _ => inspection
  }

  private def failed(file: SourceFile, fault: String, sha256: Array[Byte] = Array.emptyByteArray): Inspection =
    Inspection(file, sha256, 0, Array.emptyByteArray, Array.empty, fault)

  private def hash(file: SourceFile, conf: Configuration): Array[Byte] = {
    val digest = MessageDigest.getInstance("SHA-256")
    val raw = new DigestInputStream(Sources.openRaw(file, conf), digest)
    try {
      drain(raw)
      digest.digest()
    } finally raw.close()
  }

  private def drain(stream: InputStream): Unit = {
    val buffer = new Array[Byte](1 << 20)
    while (stream.read(buffer) != -1) {}
  }

  private[ecompipe] def cut(file: SourceFile, content: InputStream, pieceBytes: Int, from: Option[(Long, Long)], format: Format = Format.Plain): Inspection = {
    var buffer = content.readNBytes(pieceBytes)
    var atEof = buffer.length < pieceBytes
    if (!atEof && from.isEmpty && pieceBytes < LongestHead) {
      buffer = concat(buffer, 0, content.readNBytes(LongestHead - pieceBytes))
      atEof = buffer.length < LongestHead
    }
    val (header, headerLines) = if (from.isDefined) (0, 0) else headerEnd(buffer, format.headerLines)
    val head = java.util.Arrays.copyOf(buffer, math.min(buffer.length, math.max(header, 64)))
    var offset = from.fold(header.toLong)(_._1)
    var lines = from.fold(headerLines.toLong)(_._2)
    var rest = java.util.Arrays.copyOfRange(buffer, header, buffer.length)
    val pieces = Array.newBuilder[Piece]
    while (rest.nonEmpty || !atEof) {
      val (piece, consumed) = measure(rest, atEof, offset, lines, format.dialect)
      if (consumed > 0) {
        pieces += piece
        offset = piece.end
        lines += piece.lines
      }
      // Where no record ended, as many more bytes as the longest may need.
      val more = if (atEof) Array.emptyByteArray else content.readNBytes(if (consumed == 0) rest.length + Framing.MaxRecordBytes + 1 else pieceBytes)
      atEof = atEof || more.length == 0
      rest = concat(rest, consumed, more)
    }
    Inspection(file, Array.emptyByteArray, offset, head, pieces.result(), null)
  }

  private def concat(first: Array[Byte], from: Int, second: Array[Byte]): Array[Byte] = {
    val joined = java.util.Arrays.copyOfRange(first, from, first.length + second.length)
    System.arraycopy(second, 0, joined, first.length - from, second.length)
    joined
  }

  private def measure(bytes: Array[Byte], atEof: Boolean, offset: Long, lines: Long, dialect: Dialect): (Piece, Int) = {
    val framing = new Framing(bytes, bytes.length, atEof, 0, dialect)
    var rows = 0L
    var plain = true
    while (framing.next()) {
      rows += 1
      if (framing.defect != null) plain = false
    }
    plain = plain && framing.emptyLines == 0 && !holdsEndMarker(bytes, framing.consumed)
    val crlf = bytes.indexOf(Framing.LF) match {
      case at if at > 0 => bytes(at - 1) == Framing.CR
      case _ => false
    }
    (Piece(offset, offset + framing.consumed, lines + 1, framing.lines, rows, plain, crlf), framing.consumed)
  }

  private def holdsEndMarker(bytes: Array[Byte], length: Int): Boolean = {
    var at = 0
    while (at + 1 < length) {
      if (bytes(at) == Framing.BACKSLASH && bytes(at + 1) == Framing.DOT && (at == 0 || bytes(at - 1) == Framing.LF || bytes(at - 1) == Framing.CR)) return true
      at += 1
    }
    false
  }

  /**
   * End of the byte order mark and of so many lines, and how many there are; `parseHeader` of `src/contract/csv/header.ts`
   * or `parseFeedHeader` of `src/contract/feeds/feedHeader.ts` judges what is in them.
   */
  private def headerEnd(bytes: Array[Byte], wanted: Int): (Int, Int) = {
    var end = if (bytes.startsWith(ByteOrderMark)) ByteOrderMark.length else 0
    var lines = 0
    while (lines < wanted && end < bytes.length) {
      val lineFeed = bytes.indexOf(Framing.LF, end)
      end = if (lineFeed == -1) bytes.length else lineFeed + 1
      lines += 1
    }
    (end, lines)
  }

  private val ByteOrderMark = Array(0xef, 0xbb, 0xbf).map(_.toByte)

  private val LongestHead = Framing.MaxRecordBytes + 4
}

/** @param fault what the driver knows it by */
final class TooLong(val fault: String) extends IOException(fault)

/** What a compressed file becomes, as far as it is let: the limits are those of the native engine (content.ts). */
final class LimitedStream(content: InputStream, maxBytes: Long, compressedBytes: Long) extends FilterInputStream(content) {
  private val mostOfGzip = math.max(64L << 20, 100 * compressedBytes)
  private var count = 0L

  override def read(): Int = {
    val byte = super.read()
    if (byte != -1) passed(1)
    byte
  }

  override def read(bytes: Array[Byte], offset: Int, length: Int): Int = {
    val read = super.read(bytes, offset, length)
    if (read > 0) passed(read)
    read
  }

  private def passed(bytes: Int): Unit = {
    count += bytes
    if (count > maxBytes) throw new TooLong("long")
    if (count > mostOfGzip) throw new TooLong("inflated")
  }
}

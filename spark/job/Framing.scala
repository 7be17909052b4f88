package ecompipe

/**
 * Splits bytes into records exactly as `src/contract/csv/frameRecords.ts` does: strictly by RFC 4180, but for the characters of a
 * feed's dialect; a record with a structural defect is its first physical line and no more; empty lines are none. Where
 * nothing is quoted, a record is a line. `test/spark/framing.spark.ts` holds the two against each other.
 *
 * After `next()` returned true, `start`, `end` (without line break), `line` (0-based, within the buffer) and `defect`
 * (null when there is none) describe the record. An unfinished last one is left over, unless `atEof`.
 *
 * @param fieldCount fields that a record must have; 0 when they do not matter
 */
final class Framing(buffer: Array[Byte], length: Int, atEof: Boolean, fieldCount: Int, dialect: Dialect = Dialect.Rfc4180) {
  import Framing._
  private val delimiter = dialect.delimiter
  private val quote: Int = dialect.quote.fold(NoByte)(_.toInt)
  private val isQuoting = dialect.quote.isDefined

  var start = 0
  var end = 0
  var line = 0
  var defect: String = _
  /** Whole records and empty lines end here. */
  var consumed = 0
  /** Physical lines within `consumed`. */
  var lines = 0
  var emptyLines = 0
  private var following = 0

  /** Goes to the next record. */
  def next(): Boolean = {
    while (consumed < length) {
      start = consumed
      line = lines
      if (!(if (isQuoting) step() else stepLine())) return false
      lines += lineFeeds(start, following)
      if (atEof && following == length && buffer(following - 1) != LF) lines += 1
      consumed = following
      if (end > start) return true
      emptyLines += 1
    }
    false
  }

  /** The record holds `\.` at the start of a line, within quotes: COPY before PostgreSQL 18 would end there. */
  def holdsEndMarker: Boolean = {
    var at = start
    while (at + 1 < end) {
      if (buffer(at) == BACKSLASH && buffer(at + 1) == DOT && (at == 0 || buffer(at - 1) == LF || buffer(at - 1) == CR)) return true
      at += 1
    }
    false
  }

  private def step(): Boolean = {
    var fields = 1
    var at = start
    var fieldStart = true
    while (true) {
      if (at - start >= MaxRecordBytes) return firstLine("too-long")
      if (at >= length) {
        if (!atEof) return false
        return found(at, at, if (fieldCount == 0 || fields == fieldCount) null else "field-count")
      }
      var byte: Int = buffer(at)
      if (byte == quote) {
        if (!fieldStart) return firstLine("stray-quote")
        val close = closeOf(at)
        if (close == -1) return firstLine("unclosed-quote")
        at = close + 1
        if (at >= length && !atEof) return false
        byte = if (at < length) buffer(at) else delimiter
        if (byte != delimiter && byte != LF && byte != CR) return firstLine("stray-quote")
        fieldStart = false
      } else if (byte == LF || (byte == CR && at + 1 < length && buffer(at + 1) == LF)) {
        val following = if (byte == LF) at + 1 else at + 2
        return found(at, following, if (at == start || fieldCount == 0 || fields == fieldCount) null else "field-count")
      } else if (byte == CR) {
        if (at + 1 == length && !atEof) return false
        return firstLine("bare-carriage-return")
      } else {
        fieldStart = byte == delimiter
        if (fieldStart) fields += 1
        at += 1
      }
    }
    false
  }

  private def stepLine(): Boolean = {
    val limit = math.min(length.toLong, start.toLong + MaxRecordBytes).toInt
    var stop = start
    var fields = 1
    while (stop < limit && buffer(stop) != LF) {
      if (buffer(stop) == delimiter && dialect.hasFields) fields += 1
      stop += 1
    }
    if (stop - start >= MaxRecordBytes) return firstLine("too-long")
    if (stop == length && !atEof) return false
    val recordEnd = if (stop > start && buffer(stop - 1) == CR) stop - 1 else stop
    found(recordEnd, math.min(stop + 1, length), if (recordEnd == start || fieldCount == 0 || fields == fieldCount) null else "field-count")
  }

  private def found(recordEnd: Int, next: Int, fault: String): Boolean = {
    end = recordEnd
    following = next
    defect = fault
    true
  }

  /** The closing quote of a field opened at `open`, if it comes within the longest record; else -1. */
  private def closeOf(open: Int): Int = {
    val limit = math.min(length.toLong, start.toLong + MaxRecordBytes).toInt
    var at = open + 1
    while (at < limit) {
      if (buffer(at) == quote) {
        if (at + 1 >= length || buffer(at + 1) != quote) return at
        at += 2
      } else at += 1
    }
    -1
  }

  /** A broken record is its first line; what looks broken may only be unfinished, and then more bytes are waited for. */
  private def firstLine(fault: String): Boolean = {
    val couldGrow = !atEof && length - start < MaxRecordBytes
    if (couldGrow && fault == "unclosed-quote") return false
    val limit = math.min(length.toLong, start.toLong + MaxRecordBytes).toInt
    var lineFeed = start
    while (lineFeed < limit && buffer(lineFeed) != LF) lineFeed += 1
    if (lineFeed < limit) {
      val recordEnd = if (lineFeed > start && buffer(lineFeed - 1) == CR) lineFeed - 1 else lineFeed
      return found(recordEnd, lineFeed + 1, fault)
    }
    if (couldGrow) return false
    found(limit, limit, if (limit == length && limit - start < MaxRecordBytes) fault else "too-long")
  }

  private def lineFeeds(from: Int, until: Int): Int = {
    var count = 0
    var at = from
    while (at < until) {
      if (buffer(at) == LF) count += 1
      at += 1
    }
    count
  }
}

object Framing {
  val LF: Byte = '\n'
  val CR: Byte = '\r'
  val QUOTE: Byte = '"'
  val COMMA: Byte = ','
  val BACKSLASH: Byte = '\\'
  val DOT: Byte = '.'
  /** What no byte is. */
  val NoByte: Int = 256
  /** As MAX_RECORD_BYTES in `src/contract/csv/bytes.ts`. */
  val MaxRecordBytes: Int = 1 << 20
}

/**
 * As `Dialect` in `src/contract/csv/dialect.ts`; one byte each.
 *
 * @param hasFields false: each line that is not empty is a record of one field
 * @param quote none: nothing is quoted, and a record is a line
 */
final case class Dialect(delimiter: Byte, quote: Option[Byte], hasFields: Boolean = true) extends Serializable

object Dialect {
  val Rfc4180: Dialect = Dialect(Framing.COMMA, Some(Framing.QUOTE))
}

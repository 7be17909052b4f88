package ecompipe

import java.io.{ByteArrayOutputStream, InputStream}
import java.nio.ByteBuffer
import java.nio.charset.{CharacterCodingException, StandardCharsets}
import java.sql.{Connection, SQLException}
import org.apache.hadoop.conf.Configuration

/**
 * A piece of a file that is to be staged.
 *
 * @param index names it among those of one request
 * @param unnamed fields of a record behind those of the columns, which must be empty
 */
final case class StagePiece(index: Int, file: SourceFile, start: Long, end: Long, firstLine: Long, firstOrdinal: Long, columns: Seq[String], unnamed: Int, crlf: Boolean, format: Format = Format.Plain) extends Serializable

/** @param asText false: the file's own bytes into typed columns; true: each record as text, with its place and its bytes */
final case class StageRequest(table: String, asText: Boolean, pieces: Seq[StagePiece]) extends Serializable

/**
 * What one task staged, under its own mark; rows of attempts that are not reported here are nobody's.
 *
 * @param missing indices of pieces whose file is not there any more
 * @param refusal SQLSTATE and message, where PostgreSQL refused for a reason that no other attempt would change; else null
 */
final case class StagedTask(attempt: Long, rows: Long, missing: Seq[Int], refusal: (String, String) = null) extends Serializable

/**
 * Stages pieces of files into a table of PostgreSQL, in one transaction a task.
 *
 * A task can run twice, at the same time (speculation) or one after the other (a lost executor, a commit whose reply was
 * lost). Each attempt marks its rows with its own id, and only the attempt whose result the driver received is merged.
 */
object Stage {
  /** @throws SQLException for passing reasons only (a lost connection, a server that starts): Spark tries such a task again */
  def apply(request: StageRequest, pieces: Seq[StagePiece], attempt: Long, database: DatabaseOptions, conf: Configuration): StagedTask =
    try stage(request, pieces, attempt, database, conf)
    catch {
      case error: SQLException if error.getSQLState != null && Lasting.exists(prefix => error.getSQLState.startsWith(prefix)) =>
        StagedTask(attempt, 0, Seq.empty, (error.getSQLState, error.getMessage))
      // It left after it was looked at: another attempt would only find the same. Others may have left with it.
      case changed: FileChanged =>
        val gone = pieces.map(_.file).distinct.filterNot(file => file.path != changed.path && Sources.isStill(file, conf)).toSet
        StagedTask(attempt, 0, pieces.filter(piece => gone(piece.file)).map(_.index))
    }

  private def stage(request: StageRequest, pieces: Seq[StagePiece], attempt: Long, database: DatabaseOptions, conf: Configuration): StagedTask =
    Connections.use(database) { connection =>
      Connections.execute(connection, s"set local ecompipe.stage_attempt = '$attempt'")
      val files = pieces.map(_.file).distinct
      val contents = new Contents(conf)
      try
        Sources.reading(files, conf) {
          val rows = groups(pieces).map { group =>
            if (request.asText) copyRecords(connection, request.table, group, contents) else copyBytes(connection, request.table, group, contents)
          }.sum
          // Only now is it known that what was read is what was listed.
          files.foreach(Sources.assertUnchanged(_, conf))
          StagedTask(attempt, rows, Seq.empty)
        }
      finally contents.close()
    }

  /** Neighbours that can share a COPY: the same columns, line ends and format. */
  private def groups(pieces: Seq[StagePiece]): Seq[Seq[StagePiece]] =
    pieces.foldLeft(List.empty[List[StagePiece]]) {
      case (current :: done, piece) if current.head.columns == piece.columns && current.head.crlf == piece.crlf && current.head.format == piece.format => (piece :: current) :: done
      case (done, piece) => List(piece) :: done
    }.map(_.reverse).reverse

  private def copyBytes(connection: Connection, table: String, pieces: Seq[StagePiece], contents: Contents): Long = {
    val copy = new Copy(connection, s"copy $table (${pieces.head.columns.mkString(", ")}) from stdin (format csv)")
    copy.run {
      for (piece <- pieces) {
        val bytes = contents.read(piece, 0)
        copy.write(bytes)
        if (bytes.nonEmpty && bytes.last != Framing.LF) copy.write(if (piece.crlf) CrLf else Lf)
      }
    }
  }

  /** Records as texts. What is UTF-8 is seen here; another encoding only the server knows, as for the native engine (stageSource.ts). */
  private def copyRecords(connection: Connection, table: String, pieces: Seq[StagePiece], contents: Contents): Long = {
    if (pieces.head.format.isUtf8) return copyRecords(connection, table, pieces, contents, Set.empty[Long])
    Connections.execute(connection, "savepoint ecompipe_records")
    val copied =
      try copyRecords(connection, table, pieces, contents, Set.empty[Long])
      catch {
        case error: SQLException if Undecodable.contains(error.getSQLState) =>
          Connections.execute(connection, "rollback to savepoint ecompipe_records")
          copyRecords(connection, table, pieces, contents, undecodable(connection, pieces, contents))
      }
    Connections.execute(connection, "release savepoint ecompipe_records")
    copied
  }

  /** @param undecodable ordinals of records that are not in their encoding */
  private def copyRecords(connection: Connection, table: String, pieces: Seq[StagePiece], contents: Contents, undecodable: Set[Long]): Long = {
    val (columns, format) = (pieces.head.columns, pieces.head.format)
    val names = s"piece, ordinal, line, byte_offset, defect, broken, raw, ${columns.mkString(", ")}"
    val copy = new Copy(connection, s"copy $table ($names) from stdin (format csv, encoding '${format.encoding}')")
    val endMarkers = Seq.newBuilder[Seq[AnyRef]]
    val copied = copy.run {
      for (piece <- pieces) {
        val records = new TextRecords(piece, contents.read(piece, TextRecords.LookAhead), undecodable)
        while (records.next()) {
          if (records.holdsEndMarker) endMarkers += records.values
          else records.writeTo(copy)
        }
      }
    }
    // `\.` alone on a line, even within quotes, ends COPY's data before PostgreSQL 18.
    val rows = endMarkers.result()
    if (rows.nonEmpty) {
      val text = s"convert_from(?, '${format.encoding}')"
      val values = Seq("?", "?", "?", "?", "null", "null", if (format.isUtf8) text else "?") ++ columns.map(_ => text)
      val insert = connection.prepareStatement(s"insert into $table ($names) values (${values.mkString(", ")})")
      rows.foreach { values =>
        values.zipWithIndex.foreach { case (value, index) => insert.setObject(index + 1, value) }
        insert.addBatch()
      }
      insert.executeBatch()
      insert.close()
    }
    copied + rows.size
  }

  /** Ordinals of the records that can't be decoded. */
  private def undecodable(connection: Connection, pieces: Seq[StagePiece], contents: Contents): Set[Long] = {
    val query = connection.prepareStatement(s"select at from ecompipe.undecodable(?, '${pieces.head.format.encoding}')")
    val found = Set.newBuilder[Long]
    var asked = Vector.empty[(Long, Array[Byte])]
    var bytes = 0
    def ask(): Unit = {
      query.setArray(1, connection.createArrayOf("bytea", asked.map(_._2).toArray.asInstanceOf[Array[AnyRef]]))
      val rows = query.executeQuery()
      while (rows.next()) found += asked(rows.getInt(1) - 1)._1
      rows.close()
      asked = Vector.empty
      bytes = 0
    }
    for (piece <- pieces) {
      val records = new TextRecords(piece, contents.read(piece, TextRecords.LookAhead))
      while (records.next()) if (records.defect == null) {
        asked :+= records.ordinal -> records.raw
        bytes += records.raw.length
        if (bytes >= AskedBytes) ask()
      }
    }
    if (asked.nonEmpty) ask()
    query.close()
    found.result()
  }

  /** Bytes of records in one question. */
  private val AskedBytes = 1 << 18

  /** character_not_in_repertoire and untranslatable_character. */
  private val Undecodable = Set("22021", "22P05")

  /** Classes of SQLSTATE that `src/platform/db/sqlState.ts` calls `row` or `fatal`. */
  private val Lasting = Seq("22", "23", "28", "3D", "3F", "42", "0A")

  private val Lf = Array[Byte]('\n')
  private val CrLf = Array[Byte]('\r', '\n')
}

/**
 * Bytes of pieces, one after the other: a file is opened once for all pieces of it that follow each other, as a compressed
 * one can only be read from its start.
 */
final class Contents(conf: Configuration) {
  private var file: SourceFile = _
  private var stream: InputStream = _
  /** What was read beyond the last piece, and where in the content it starts. */
  private var ahead: Array[Byte] = Array.emptyByteArray
  private var aheadAt = 0L

  /** The piece's bytes, and as many of those after it, as far as there are any. */
  def read(piece: StagePiece, lookAhead: Int): Array[Byte] = {
    if (stream == null || piece.file != file || piece.start < aheadAt) open(piece.file, piece.start)
    val skipped = math.min(piece.start - aheadAt, ahead.length).toInt
    stream.skipNBytes(piece.start - aheadAt - skipped)
    val length = Math.toIntExact(piece.end - piece.start)
    val bytes = java.util.Arrays.copyOf(ahead.drop(skipped), length + lookAhead)
    val held = math.min(ahead.length - skipped, bytes.length)
    val count = held + stream.readNBytes(bytes, held, bytes.length - held)
    if (count < length) throw new FileChanged(piece.file.path, isGone = false)
    ahead = if (ahead.length - skipped > bytes.length) ahead.drop(skipped + length) else java.util.Arrays.copyOfRange(bytes, length, count)
    aheadAt = piece.end
    if (count < bytes.length) java.util.Arrays.copyOf(bytes, count) else bytes
  }

  def close(): Unit = if (stream != null) stream.close()

  private def open(next: SourceFile, at: Long): Unit = {
    close()
    stream = Sources.openContent(next, conf, at)
    file = next
    ahead = Array.emptyByteArray
    aheadAt = at
  }
}

/**
 * The records of a piece as lines for COPY: place, defect or bytes, and then the record itself.
 *
 * Delimiters and quotes are ASCII, and so are never a part of a letter in the encodings that a feed may have with them:
 * records are cut as bytes, and the server decodes their fields.
 *
 * @param bytes those of the piece, and `LookAhead` more, or as many as the file has: what is wrong with a record may show
 *   only behind its first line, and a broken record's first line may be the last one of a piece
 * @param undecodable ordinals of records that are not in their encoding
 */
final class TextRecords(piece: StagePiece, bytes: Array[Byte], undecodable: Set[Long] = Set.empty) {
  private val length = Math.toIntExact(piece.end - piece.start)
  private[ecompipe] val framing = new Framing(bytes, bytes.length, bytes.length < length + TextRecords.LookAhead, piece.columns.size + piece.unnamed, piece.format.dialect)
  private val isClean = isText(0, length)
  private val hasEndMarkers = new String(bytes, 0, length, StandardCharsets.ISO_8859_1).contains("\\.")
  private val line = new ByteArrayOutputStream(1024)
  private[ecompipe] var ordinal = piece.firstOrdinal - 1
  private[ecompipe] var defect: String = _
  /** Where the fields of a sound record end that have a name. */
  private var namedEnd = 0

  def next(): Boolean = {
    ordinal += 1
    val found = framing.consumed < length && framing.next() && framing.start < length
    if (found) {
      namedEnd = endOfNamed
      defect =
        if (framing.defect != null) framing.defect
        else if (!isClean && !isText(framing.start, framing.end) || undecodable.contains(ordinal)) "encoding"
        else if (namedEnd == -1) "unnamed-value"
        else null
    }
    found
  }

  /** As `namedEnd` in `src/pipeline/stream/staged/records.ts`: -1 where a field without a name has a value. */
  private def endOfNamed: Int = {
    var end = framing.end
    var left = piece.unnamed
    while (left > 0) {
      if (end - 3 >= framing.start && bytes(end - 1) == Framing.QUOTE && bytes(end - 2) == Framing.QUOTE && bytes(end - 3) == Framing.COMMA) end -= 3
      else if (end - 1 >= framing.start && bytes(end - 1) == Framing.COMMA) end -= 1
      else return -1
      left -= 1
    }
    end
  }

  def holdsEndMarker: Boolean = hasEndMarkers && defect == null && framing.holdsEndMarker

  def writeTo(copy: Copy): Unit = {
    line.reset()
    ascii(s"${piece.index},$ordinal,${piece.firstLine + framing.line},${piece.start + framing.start},")
    if (defect == null) {
      ascii(",,")
      if (piece.format.isUtf8) writeQuoted() else writeHex()
      line.write(',')
      if (piece.format == Format.Plain) line.write(bytes, framing.start, namedEnd - framing.start)
      else writeFields(fields)
    } else {
      ascii(defect)
      line.write(',')
      writeHex()
      ascii("," + "," * piece.columns.size)
    }
    line.write('\n')
    copy.write(line)
  }

  /** The record's own bytes. */
  private[ecompipe] def raw: Array[Byte] = java.util.Arrays.copyOfRange(bytes, framing.start, framing.end)

  /** The same as values of a prepared statement; texts are bytes. */
  def values: Seq[AnyRef] =
    Seq(Int.box(piece.index), Long.box(ordinal), Long.box(piece.firstLine + framing.line), Long.box(piece.start + framing.start), raw) ++
      fields.map(field => if (field == null) null else field.getBytes(StandardCharsets.ISO_8859_1))

  private def writeQuoted(): Unit = {
    line.write('"')
    var at = framing.start
    while (at < framing.end) {
      if (bytes(at) == Framing.QUOTE) line.write('"')
      line.write(bytes(at))
      at += 1
    }
    line.write('"')
  }

  private def writeHex(): Unit = {
    ascii("\\x")
    var at = framing.start
    while (at < framing.end) {
      line.write(Hex((bytes(at) >> 4) & 15))
      line.write(Hex(bytes(at) & 15))
      at += 1
    }
  }

  /** Another dialect than COPY's, written anew: everything quoted but NULL. */
  private def writeFields(fields: Seq[String]): Unit =
    for ((field, index) <- fields.zipWithIndex) {
      if (index > 0) line.write(',')
      if (field != null) line.write(("\"" + field.replace("\"", "\"\"") + "\"").getBytes(StandardCharsets.ISO_8859_1))
    }

  /** The fields of a record without defects, a character for each byte; what means NULL does so without quotes only, as in COPY. */
  private def fields: Seq[String] = {
    val record = new String(bytes, framing.start, namedEnd - framing.start, StandardCharsets.ISO_8859_1)
    val dialect = piece.format.dialect
    if (!dialect.hasFields) return Seq(record)
    val (delimiter, quote) = (dialect.delimiter.toChar, dialect.quote.fold(Framing.NoByte)(_.toInt))
    val found = Seq.newBuilder[String]
    var at = 0
    while (at <= record.length) {
      if (at < record.length && record.charAt(at) == quote) {
        val field = new StringBuilder
        at += 1
        while (record.charAt(at) != quote || (at + 1 < record.length && record.charAt(at + 1) == quote)) {
          if (record.charAt(at) == quote) at += 1
          field += record.charAt(at)
          at += 1
        }
        found += field.toString
        at += 2
      } else {
        val next = record.indexOf(delimiter, at)
        val end = if (next == -1) record.length else next
        val field = record.substring(at, end)
        found += (if (piece.format.nulls.contains(field)) null else field)
        at = end + 1
      }
    }
    found.result()
  }

  private def ascii(text: String): Unit = {
    var at = 0
    while (at < text.length) {
      line.write(text.charAt(at))
      at += 1
    }
  }

  /** Without NUL, and UTF-8 where that is the encoding: what PostgreSQL's text can hold. */
  private def isText(from: Int, until: Int): Boolean = {
    var at = from
    while (at < until && bytes(at) != 0) at += 1
    at == until && (!piece.format.isUtf8 || (try {
      StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, from, until - from))
      true
    } catch { case _: CharacterCodingException => false }))
  }

  private val Hex: Array[Byte] = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII)
}

object TextRecords {
  /** So far from its start on a record may be looked at: no record at the end of a piece is taken for an unfinished one. */
  val LookAhead: Int = Framing.MaxRecordBytes + 2
}

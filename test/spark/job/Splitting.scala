package ecompipe.test

import java.io.{ByteArrayInputStream, DataInputStream, EOFException, PrintStream}
import java.nio.charset.StandardCharsets
import ecompipe.{Dialect, Format, Inspect, SourceFile, StagePiece, TextRecords}

/**
 * Splits what comes over standard input as the executors do: cuts it into pieces, and each piece into records.
 * In: field count, bytes of the first look, delimiter, quote (-1: none), whether there are fields, length (4 bytes each), the
 * bytes. Out, a line each: every record's `start,end,line,defect`.
 */
object Splitting {
  def main(arguments: Array[String]): Unit = {
    val in = new DataInputStream(System.in)
    val out = new PrintStream(System.out, false, StandardCharsets.US_ASCII)
    try
      while (true) {
        val (fieldCount, pieceBytes) = (in.readInt(), in.readInt())
        val (delimiter, quote, hasFields) = (in.readInt().toByte, in.readInt(), in.readInt() == 1)
        val format = Format.Plain.copy(dialect = Dialect(delimiter, if (quote == -1) None else Some(quote.toByte), hasFields))
        val bytes = in.readNBytes(in.readInt())
        out.println(split(bytes, fieldCount, pieceBytes, format).mkString(" "))
      }
    catch { case _: EOFException => out.flush() }
  }

  private def split(bytes: Array[Byte], fieldCount: Int, pieceBytes: Int, format: Format): Seq[String] = {
    val file = SourceFile("a.csv", "a.csv", "", bytes.length)
    val columns = Seq.tabulate(fieldCount)(number => s"c$number")
    Inspect.cut(file, new ByteArrayInputStream(bytes), pieceBytes, Some((0L, 0L)), format).pieces.toSeq.flatMap { piece =>
      val until = math.min(bytes.length, piece.end + TextRecords.LookAhead).toInt
      val records = new TextRecords(StagePiece(0, file, piece.start, piece.end, piece.firstLine, 0, columns, 0, piece.crlf, format), bytes.slice(piece.start.toInt, until))
      Iterator.continually(records).takeWhile(_.next()).map { record =>
        val framing = record.framing
        s"${piece.start + framing.start},${piece.start + framing.end},${piece.firstLine - 1 + framing.line},${record.defect}"
      }.toSeq
    }
  }
}

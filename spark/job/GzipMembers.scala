package ecompipe

import java.io.{EOFException, InputStream}
import java.util.zip.{CRC32, Inflater, ZipException}

/**
 * The content of a gzip file (RFC 1952): all of its members, and nothing else. Java's own reader ends without a word at
 * whatever does not begin like a member, and at the end of any member where its source can't say how much is left. Zeros
 * behind the last member are padding, as for gzip and the native engine.
 * @throws ZipException when something is damaged, or more than zeros follow; EOFException when the file was cut short.
 */
final class GzipMembers(raw: InputStream) extends InputStream {
  private val input = new Array[Byte](1 << 16)
  private var next = 0
  private var end = 0
  private val inflater = new Inflater(true)
  private val crc = new CRC32
  private var isOver = false

  readHeader(readByte(), readByte())

  override def read(): Int = {
    val one = new Array[Byte](1)
    if (read(one, 0, 1) == -1) -1 else one(0) & 0xff
  }

  override def read(bytes: Array[Byte], offset: Int, length: Int): Int = {
    if (length == 0) return 0
    while (!isOver) {
      val count = inflate(bytes, offset, length)
      if (count > 0) return count
      if (inflater.finished) endMember()
      else if (inflater.needsDictionary) throw new ZipException("gzip does not allow a preset dictionary")
      else fill()
    }
    -1
  }

  override def close(): Unit = {
    inflater.end()
    raw.close()
  }

  private def inflate(bytes: Array[Byte], offset: Int, length: Int): Int = {
    val count =
      try inflater.inflate(bytes, offset, length)
      catch { case error: java.util.zip.DataFormatException => throw new ZipException(error.getMessage) }
    if (count > 0) crc.update(bytes, offset, count)
    count
  }

  private def fill(): Unit = {
    if (!readMore()) throw new EOFException("the compressed data ends early")
    inflater.setInput(input, 0, end)
    next = end
  }

  /** The trailer, and the beginning of another member or the end of all. */
  private def endMember(): Unit = {
    next = end - inflater.getRemaining
    if (readNumber() != crc.getValue) throw new ZipException("the checksum of the content is another one")
    if (readNumber() != (inflater.getBytesWritten & 0xffffffffL)) throw new ZipException("the length of the content is another one")
    val first = readOrEnd()
    if (first == -1) isOver = true
    else if (first == 0) assertPadding()
    else {
      inflater.reset()
      crc.reset()
      readHeader(first, readByte())
    }
  }

  private def assertPadding(): Unit = {
    var byte = 0
    while (byte == 0) byte = readOrEnd()
    if (byte != -1) throw new ZipException("more than zeros follow a member")
    isOver = true
  }

  private def readHeader(first: Int, second: Int): Unit = {
    if (first != 0x1f || second != 0x8b) throw new ZipException("what follows does not begin like a gzip member")
    if (readByte() != 8) throw new ZipException("the method of compression is unknown")
    val flags = readByte()
    // Time, extra flags and system.
    skip(6)
    if ((flags & 4) != 0) skip(readByte() | readByte() << 8)
    if ((flags & 8) != 0) skipText()
    if ((flags & 16) != 0) skipText()
    if ((flags & 2) != 0) skip(2)
    inflater.setInput(input, next, end - next)
    next = end
  }

  private def skip(count: Int): Unit = for (_ <- 0 until count) readByte()

  private def skipText(): Unit = while (readByte() != 0) {}

  private def readNumber(): Long = (0 until 4).map(place => readByte().toLong << (8 * place)).sum

  private def readByte(): Int = {
    val byte = readOrEnd()
    if (byte == -1) throw new EOFException("the compressed data ends early")
    byte
  }

  private def readOrEnd(): Int =
    if (next == end && !readMore()) -1
    else {
      next += 1
      input(next - 1) & 0xff
    }

  private def readMore(): Boolean = {
    next = 0
    end = math.max(0, raw.read(input))
    end > 0
  }
}

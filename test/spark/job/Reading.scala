package ecompipe.test

import java.io.FileOutputStream
import java.nio.file.{Files, Path, Paths}
import java.util.Random
import java.util.zip.GZIPOutputStream
import ecompipe.{Contents, Sources, SourceFile, StagePiece}
import org.apache.hadoop.conf.Configuration

/**
 * `Reading DIRECTORY`: reads pieces of a plain and of a compressed file in order, some left out, with and without a look
 * ahead, compares them with the file, and says how often the file was read.
 */
object Reading {
  def main(arguments: Array[String]): Unit = {
    val random = new Random(7)
    // Not to be compressed: what is read of the file is as much as what comes out.
    val content = new Array[Byte](8 << 20)
    random.nextBytes(content)
    val plain = Files.write(Paths.get(arguments(0), "a.csv"), content)
    val packed = Paths.get(arguments(0), "a.csv.gz")
    val out = new GZIPOutputStream(new FileOutputStream(packed.toFile))
    out.write(content)
    out.close()
    for (path <- Seq(plain, packed)) {
      read(path, content, random)
      val before = bytesRead()
      read(path, content, random)
      println(s"${path.getFileName}: ${math.round((bytesRead() - before) * 10.0 / content.length)} tenths")
    }
  }

  private def read(path: Path, content: Array[Byte], random: Random): Unit = {
    val conf = new Configuration
    val file = SourceFile(path.toString, path.getFileName.toString, Sources.fileStamp(path.toString, conf), Files.size(path))
    val contents = new Contents(conf)
    var at = 0
    while (at < content.length) {
      val end = math.min(content.length, at + 1 + random.nextInt(300000))
      val ahead = if (random.nextBoolean()) 0 else random.nextInt(700000)
      if (random.nextInt(4) > 0) {
        val bytes = contents.read(StagePiece(0, file, at, end, 1, 0, Seq.empty, 0, crlf = false), ahead)
        val expected = java.util.Arrays.copyOfRange(content, at, math.min(content.length, end + ahead))
        if (!java.util.Arrays.equals(bytes, expected)) throw new IllegalStateException(s"$path: $at to $end, and $ahead more")
      }
      at = end
    }
    contents.close()
  }

  private def bytesRead(): Long = Files.readString(Paths.get("/proc/self/io")).split("\\s+")(1).toLong
}

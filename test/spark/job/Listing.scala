package ecompipe.test

import java.nio.file.{Files, Paths, StandardCopyOption}
import ecompipe.Sources
import org.apache.hadoop.conf.Configuration

/** `Listing DIRECTORY PLACE TIMES`: lists a directory so often, as PLACE (a path or URI), while its files leave and come back. */
object Listing {
  def main(arguments: Array[String]): Unit = {
    val Array(directory, place, times) = arguments
    val (inside, outside) = (Paths.get(directory), Files.createTempDirectory(Paths.get(directory).getParent, "taken"))
    @volatile var isOver = false
    val thief = new Thread(() => {
      while (!isOver) for ((from, to) <- Seq((inside, outside), (outside, inside)); number <- 0 until 20) {
        val name = s"$number.csv"
        if (Files.exists(from.resolve(name))) Files.move(from.resolve(name), to.resolve(name), StandardCopyOption.ATOMIC_MOVE)
      }
    })
    for (number <- 0 until 20) Files.writeString(inside.resolve(s"$number.csv"), "a\n1\n")
    thief.start()
    try {
      val conf = new Configuration
      var seen = 0L
      for (_ <- 0 until times.toInt) seen += Sources.list(place, conf).size
      println(s"listed $times times: $seen files")
    } finally {
      isOver = true
      thief.join()
    }
  }
}

package plain

import java.io.{ByteArrayInputStream, File, InputStream}
import java.lang.reflect.InvocationTargetException
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Paths}
import java.sql.{Connection, DriverManager}
import org.apache.spark.sql.SparkSession

/**
 * The two ways in which executors could bring files into a table without constraints: COPY of the bytes by the driver's
 * CopyManager, or a prepared INSERT in batches that the driver rewrites into multi-row statements. One task a file.
 */
object Staging {
  private val BatchRows = 10000

  def main(arguments: Array[String]): Unit = {
    val Array(inputDir, rounds) = arguments
    val session = SparkSession.builder().getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    val files = new File(inputDir).listFiles.map(_.getPath).filter(_.endsWith(".csv")).sorted.toSeq
    val columns = new String(Files.readAllBytes(Paths.get(files.head)), StandardCharsets.UTF_8).linesIterator.next()
    val access = Seq("PLAIN_URL", "PLAIN_USER", "PLAIN_PASSWORD").map(sys.env)
    val ways = Seq[(String, (Connection, String) => Unit)]("copy" -> (copy(_, _, columns)), "jdbc" -> (insert(_, _, columns)))
    for (_ <- 1 to rounds.toInt; (name, way) <- ways) {
      onConnection(access)(connection => execute(connection, s"drop table if exists staging; create unlogged table staging (${columns.split(',').map(_ + " text").mkString(", ")})"))
      val startNs = System.nanoTime()
      session.sparkContext.parallelize(files, files.size).foreach(file => onConnection(access)(way(_, file)))
      println(s"$name ${(System.nanoTime() - startNs) / 1e6}")
    }
    onConnection(access)(execute(_, "drop table staging"))
    session.stop()
  }

  private def onConnection(access: Seq[String])(action: Connection => Unit): Unit = {
    Class.forName("org.postgresql.Driver", true, Thread.currentThread.getContextClassLoader)
    val connection = DriverManager.getConnection(access(0), access(1), access(2))
    connection.setAutoCommit(false)
    try {
      action(connection)
      connection.commit()
    } finally connection.close()
  }

  private def execute(connection: Connection, sql: String): Unit = connection.createStatement().execute(sql)

  private def copy(connection: Connection, file: String, columns: String): Unit = {
    // By reflection: the jar of the driver is not there when this is compiled.
    val manager = Class.forName("org.postgresql.PGConnection", true, connection.getClass.getClassLoader).getMethod("getCopyAPI").invoke(connection)
    val bytes = new ByteArrayInputStream(Files.readAllBytes(Paths.get(file)))
    try manager.getClass.getMethod("copyIn", classOf[String], classOf[InputStream]).invoke(manager, s"copy staging ($columns) from stdin (format csv, header)", bytes)
    catch { case error: InvocationTargetException => throw error.getCause }
  }

  private def insert(connection: Connection, file: String, columns: String): Unit = {
    val width = columns.count(_ == ',') + 1
    val statement = connection.prepareStatement(s"insert into staging ($columns) values (${Seq.fill(width)("?").mkString(", ")})")
    var pending = 0
    for (line <- new String(Files.readAllBytes(Paths.get(file)), StandardCharsets.UTF_8).linesIterator.drop(1)) {
      fields(line, width).zipWithIndex.foreach { case (value, index) => statement.setString(index + 1, value) }
      statement.addBatch()
      pending += 1
      if (pending % BatchRows == 0) statement.executeBatch()
    }
    statement.executeBatch()
  }

  /** The fields of a line; empty without quotes is NULL. The bench's rows have no line ends within quotes. */
  private def fields(line: String, width: Int): Array[String] = {
    val found = new Array[String](width)
    var at = 0
    for (index <- 0 until width) {
      if (at < line.length && line.charAt(at) == '"') {
        var end = line.indexOf('"', at + 1)
        while (end + 1 < line.length && line.charAt(end + 1) == '"') end = line.indexOf('"', end + 2)
        found(index) = line.substring(at + 1, end).replace("\"\"", "\"")
        at = end + 2
      } else {
        val comma = line.indexOf(',', at)
        val end = if (comma == -1) line.length else comma
        found(index) = if (end == at) null else line.substring(at, end)
        at = end + 1
      }
    }
    found
  }
}

package ecompipe

import java.io.ByteArrayOutputStream
import java.lang.reflect.{InvocationTargetException, Method}
import java.sql.{Connection, Driver}
import java.util.Properties
import java.util.concurrent.ConcurrentLinkedDeque

/**
 * How executors reach PostgreSQL, and what each connection executes first (`src/platform/db/sessionSettings.ts`). Travels within
 * tasks, never on a command line or in Spark's configuration.
 */
final case class DatabaseOptions(url: String, properties: Map[String, String], session: String) extends Serializable {
  override def toString: String = url
}

/**
 * Connections of this JVM, used again by its later tasks. The driver is reached by reflection, so that the job compiles
 * without it: which jar it comes from is decided when Spark is started.
 */
object Connections {
  private val idle = new ConcurrentLinkedDeque[(DatabaseOptions, Connection)]

  /** Runs a transaction; commits what returns. A connection on which anything failed is not used again. */
  def use[T](database: DatabaseOptions)(action: Connection => T): T = {
    val connection = take(database)
    try {
      val result = action(connection)
      connection.commit()
      idle.push((database, connection))
      result
    } catch {
      case error: Throwable =>
        try connection.close() catch { case _: Exception => }
        throw error
    }
  }

  def execute(connection: Connection, sql: String): Unit = {
    val statement = connection.createStatement()
    try statement.execute(sql)
    finally statement.close()
  }

  private def take(database: DatabaseOptions): Connection = {
    var next = idle.poll()
    while (next != null) {
      val (options, connection) = next
      if (options == database && connection.isValid(5)) return connection
      try connection.close() catch { case _: Exception => }
      next = idle.poll()
    }
    open(database)
  }

  private def open(database: DatabaseOptions): Connection = {
    val driver = Thread.currentThread.getContextClassLoader.loadClass("org.postgresql.Driver").getDeclaredConstructor().newInstance().asInstanceOf[Driver]
    val properties = new Properties
    database.properties.foreach { case (name, value) => properties.setProperty(name, value) }
    val connection = driver.connect(database.url, properties)
    execute(connection, database.session)
    connection.setAutoCommit(false)
    connection
  }
}

/** One COPY … FROM STDIN. */
final class Copy(connection: Connection, sql: String) {
  private val copyIn: AnyRef = {
    val loader = connection.getClass.getClassLoader
    val manager = loader.loadClass("org.postgresql.PGConnection").getMethod("getCopyAPI").invoke(connection)
    call(manager.getClass.getMethod("copyIn", classOf[String]), manager, sql)
  }
  private val interface = connection.getClass.getClassLoader.loadClass("org.postgresql.copy.CopyIn")
  private val writeToCopy = interface.getMethod("writeToCopy", classOf[Array[Byte]], Integer.TYPE, Integer.TYPE)
  private val pending = new ByteArrayOutputStream(ChunkBytes + 65536) { def bytes: Array[Byte] = buf }

  /** Runs `body`, which writes the data. @return the rows that the server counted. */
  def run(body: => Unit): Long =
    try {
      body
      flush()
      call(interface.getMethod("endCopy"), copyIn).asInstanceOf[Long]
    } catch {
      case error: Throwable =>
        try if (interface.getMethod("isActive").invoke(copyIn).asInstanceOf[Boolean]) interface.getMethod("cancelCopy").invoke(copyIn)
        catch { case _: Exception => }
        throw error
    }

  def write(bytes: Array[Byte]): Unit =
    if (bytes.length >= ChunkBytes) {
      flush()
      call(writeToCopy, copyIn, bytes, Int.box(0), Int.box(bytes.length))
    } else {
      pending.write(bytes, 0, bytes.length)
      if (pending.size >= ChunkBytes) flush()
    }

  def write(line: ByteArrayOutputStream): Unit = {
    line.writeTo(pending)
    if (pending.size >= ChunkBytes) flush()
  }

  private def flush(): Unit = {
    if (pending.size > 0) call(writeToCopy, copyIn, pending.bytes, Int.box(0), Int.box(pending.size))
    pending.reset()
  }

  private def call(method: Method, target: AnyRef, arguments: AnyRef*): AnyRef =
    try method.invoke(target, arguments: _*)
    catch { case error: InvocationTargetException => throw error.getCause }

  private def ChunkBytes = 1 << 18
}

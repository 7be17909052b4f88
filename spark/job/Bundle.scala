package ecompipe

import java.io.{BufferedOutputStream, InputStream}
import java.nio.file.{Files, Path, Paths}
import java.util.Comparator
import java.util.jar.{JarEntry, JarFile, JarOutputStream}
import java.util.zip.Deflater
import scala.io.Source

/**
 * One jar with all that a cluster needs: the job, PostgreSQL's JDBC driver, and under `bundle/` the program that tells the
 * job what to do, with the Node.js that runs it. Written by `ecompipe spark bundle`.
 */
object Bundle {
  val Node = "node"
  val Program = "ecompipe/bin/ecompipe.js"
  private val Folder = "bundle/"

  /** `OUTPUT LIST`: each line of the list is a file and its name in the bundle, with a tab between; one without a name is a jar whose classes go in. */
  def main(arguments: Array[String]): Unit = {
    val Array(output, list) = arguments
    val jar = new JarOutputStream(new BufferedOutputStream(Files.newOutputStream(Paths.get(output))))
    jar.setLevel(Deflater.BEST_SPEED)
    val lines = Source.fromFile(list, "UTF-8")
    try lines.getLines().map(_.split('\t')).foreach {
      case Array(file, name) => add(jar, Folder + name, Files.newInputStream(Paths.get(file)))
      case Array(classes) => addClasses(jar, classes)
    } finally {
      lines.close()
      jar.close()
    }
  }

  private def addClasses(jar: JarOutputStream, file: String): Unit = {
    val source = new JarFile(file)
    try source.stream.filter(entry => !entry.isDirectory && !isAboutTheJar(entry.getName)).forEach(entry => add(jar, entry.getName, source.getInputStream(entry)))
    finally source.close()
  }

  /** A manifest and signatures are about the jar that they were in. */
  private def isAboutTheJar(name: String): Boolean = name.matches("META-INF/(MANIFEST\\.MF|[^/]+\\.(SF|RSA|DSA|EC))")

  private def add(jar: JarOutputStream, name: String, content: InputStream): Unit =
    try {
      jar.putNextEntry(new JarEntry(name))
      content.transferTo(jar)
      jar.closeEntry()
    } finally content.close()

  /** Puts the program where it can run. */
  def unpack(home: Path): Unit = {
    val jar = new JarFile(Paths.get(getClass.getProtectionDomain.getCodeSource.getLocation.toURI).toFile)
    try jar.stream.filter(_.getName.startsWith(Folder)).forEach { entry =>
      val target = home.resolve(entry.getName.substring(Folder.length))
      Files.createDirectories(target.getParent)
      val content = jar.getInputStream(entry)
      try Files.copy(content, target) finally content.close()
    } finally jar.close()
    if (!Files.exists(home.resolve(Node))) throw new IllegalStateException("this jar holds the job alone: make one for spark-submit by `ecompipe spark bundle`")
    Seq(Node, Program).foreach(name => home.resolve(name).toFile.setExecutable(true))
  }

  /** Removes what was unpacked. */
  def remove(home: Path): Unit = if (Files.exists(home)) Files.walk(home).sorted(Comparator.reverseOrder[Path]).forEach(file => Files.deleteIfExists(file))
}

package ecompipe.test

import java.io.FileOutputStream
import java.nio.file.{Files, Paths, StandardCopyOption}
import org.apache.hadoop.yarn.conf.YarnConfiguration
import org.apache.hadoop.yarn.server.MiniYARNCluster

/** `Yarn FILE`: a resource manager and a node manager in this process. Once they run, the file has what their clients have to know. */
object Yarn {
  def main(arguments: Array[String]): Unit =
    try run(arguments(0))
    catch {
      case error: Throwable =>
        error.printStackTrace()
        Runtime.getRuntime.halt(1)
    }

  private def run(written: String): Unit = {
    val conf = new YarnConfiguration
    conf.setBoolean("yarn.nodemanager.vmem-check-enabled", false)
    conf.setBoolean("yarn.nodemanager.pmem-check-enabled", false)
    conf.setInt("yarn.scheduler.minimum-allocation-mb", 128)
    // However full the disk is.
    conf.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "100.0")
    // The capacity scheduler wants a file of queues.
    conf.set("yarn.resourcemanager.scheduler.class", "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler")
    val cluster = new MiniYARNCluster("ecompipe", 1, 1, 1)
    cluster.init(conf)
    cluster.start()
    if (!cluster.waitForNodeManagersToConnect(60000)) throw new IllegalStateException("no node manager")
    val file = Paths.get(written)
    val temporary = Paths.get(s"$written.part")
    val out = new FileOutputStream(temporary.toFile)
    cluster.getConfig.writeXml(out)
    out.close()
    Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE)
    Thread.sleep(Long.MaxValue)
  }
}

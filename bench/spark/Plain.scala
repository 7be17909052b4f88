package plain

import org.apache.spark.sql.streaming.Trigger
import org.apache.spark.sql.types._
import org.apache.spark.sql.{DataFrame, SparkSession}

/**
 * What one finds in every tutorial, tuned as far as it goes: readStream csv, foreachBatch, JDBC append. A typed schema (no
 * inference pass), batches of 10,000 rows that the driver rewrites into multi-row inserts, one writer a core. It is
 * at-least-once and rejects nothing: one bad row fails the query.
 */
object Plain {
  def main(arguments: Array[String]): Unit = {
    val Array(inputDir, checkpointDir, once) = arguments
    val session = SparkSession.builder().getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    session.conf.set("spark.sql.session.timeZone", "UTC")
    val strings = (name: String) => StructField(name, StringType)
    val schema = StructType(
      Seq(strings("event_id"), strings("event_type"), StructField("event_time", TimestampType)) ++
        Seq("user_id", "session_id", "device", "country", "traffic_source", "page_url", "search_term", "product_id", "product_name", "brand", "category").map(strings) ++
        Seq(StructField("price", DecimalType(12, 2)), StructField("quantity", IntegerType)) ++
        Seq("currency", "coupon", "payment_type", "order_id").map(strings)
    )
    val options = Map(
      "url" -> sys.env("PLAIN_URL"),
      "user" -> sys.env("PLAIN_USER"),
      "password" -> sys.env("PLAIN_PASSWORD"),
      "driver" -> "org.postgresql.Driver",
      "dbtable" -> "public.events",
      "batchsize" -> "10000",
      "numPartitions" -> session.sparkContext.defaultParallelism.toString
    )
    val append: (DataFrame, Long) => Unit = (rows, _) => rows.write.format("jdbc").options(options).mode("append").save()
    val query = session.readStream.schema(schema).option("header", "true").option("escape", "\"").csv(inputDir)
      .writeStream.option("checkpointLocation", checkpointDir)
      .trigger(if (once == "once") Trigger.AvailableNow() else Trigger.ProcessingTime(0))
      .foreachBatch(append).start()
    println("started")
    query.awaitTermination()
    session.stop()
  }
}

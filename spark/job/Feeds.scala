package ecompipe

import java.util.regex.Pattern
import com.fasterxml.jackson.databind.JsonNode

/**
 * How the files of one kind are cut into records: what an executor has to know of a feed.
 *
 * @param headerLines physical lines before the first record
 * @param nulls unquoted texts of fields that mean NULL
 */
final case class Format(dialect: Dialect, headerLines: Int, nulls: Set[String]) extends Serializable

object Format {
  /** Files of the table's own columns. */
  val Plain: Format = Format(Dialect.Rfc4180, 1, Set(""))

  def parse(node: JsonNode): Format =
    Format(Dialect(node.get("delimiter").asInt.toByte, node.get("quote").asInt.toByte), node.get("headerLines").asInt, Json.list(node.get("nulls")).map(_.asText).toSet)
}

/** @param matches regular expressions of names, as `globPattern` in `src/contract/feeds/glob.ts` makes them */
final case class Feed(matches: Seq[String], format: Format) extends Serializable {
  @transient private lazy val patterns =
    matches.map(text => Pattern.compile(text.replace("&&", "&\\&"), Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE | Pattern.DOTALL))

  def isFor(name: String): Boolean = patterns.exists(_.matcher(name).find())
}

/** The feeds of a run; the first that is for a file counts. */
final case class Feeds(feeds: Seq[Feed]) extends Serializable {
  /** As `isWantedName` in `src/contract/feeds/findFeed.ts`. */
  def isWanted(name: String): Boolean = !name.startsWith(".") && (Sources.isLoadable(name) || feeds.exists(_.isFor(name)))

  def formatOf(path: String): Format = {
    val name = path.substring(path.lastIndexOf('/') + 1)
    feeds.find(_.isFor(name)).fold(Format.Plain)(_.format)
  }
}

object Feeds {
  def parse(node: JsonNode): Feeds = Feeds(Json.list(node).map(feed => Feed(Json.list(feed.get("match")).map(_.asText), Format.parse(feed.get("format")))))
}

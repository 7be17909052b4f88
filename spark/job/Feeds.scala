package ecompipe

import java.util.regex.Pattern
import com.fasterxml.jackson.databind.JsonNode

/**
 * How the files of one kind are cut into records: what an executor has to know of a feed.
 *
 * @param headerLines physical lines before the first record
 * @param nulls unquoted texts of fields that mean NULL
 * @param encoding PostgreSQL's name of it
 */
final case class Format(dialect: Dialect, headerLines: Int, nulls: Set[String], encoding: String) extends Serializable {
  /** Whether it can be seen here what is text; of another encoding only the server knows. */
  def isUtf8: Boolean = encoding == Format.Utf8
}

object Format {
  private val Utf8 = "UTF8"

  /** Files of the table's own columns. */
  val Plain: Format = Format(Dialect.Rfc4180, 1, Set(""), Utf8)

  def parse(node: JsonNode): Format = {
    val quote = if (node.hasNonNull("quote")) Some(node.get("quote").asInt.toByte) else None
    val dialect = Dialect(node.get("delimiter").asInt.toByte, quote, node.get("kind").asText == "csv")
    Format(dialect, node.get("headerLines").asInt, Json.list(node.get("nulls")).map(_.asText).toSet, node.get("encoding").asText)
  }
}

/**
 * A pattern of file names.
 *
 * @param expression a regular expression, as `globPattern` in `src/contract/feeds/glob.ts` makes it
 * @param isOfPath it is about the whole name, not about the last part only
 */
final case class Glob(expression: String, isOfPath: Boolean) extends Serializable {
  @transient private lazy val pattern = Pattern.compile(expression.replace("&&", "&\\&"), Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE | Pattern.DOTALL)

  def matches(name: String): Boolean = pattern.matcher(if (isOfPath) name else Names.lastPart(name)).find()
}

object Glob {
  def parse(nodes: JsonNode): Seq[Glob] = Json.list(nodes).map(node => Glob(node.get("expression").asText, node.get("isOfPath").asBoolean))
}

final case class Feed(matches: Seq[Glob], format: Format) extends Serializable {
  def isFor(name: String): Boolean = matches.exists(_.matches(name))
}

/** The feeds of a run; the first that is for a file counts. */
final case class Feeds(feeds: Seq[Feed]) extends Serializable {
  /** As `isWantedName` in `src/contract/feeds/findFeed.ts`. */
  def isWanted(name: String): Boolean = !Names.isHidden(name) && (Names.isLoadable(name) || feeds.exists(_.isFor(name)))

  def formatOf(file: SourceFile): Format = feeds.find(_.isFor(file.name)).fold(Format.Plain)(_.format)
}

object Feeds {
  def parse(node: JsonNode): Feeds = Feeds(Json.list(node).map(feed => Feed(Glob.parse(feed.get("match")), Format.parse(feed.get("format")))))
}

/**
 * Which files of a directory are to be loaded, as `judgeEntry` in `src/contract/leftAlone.ts` has it.
 *
 * @param ownDirs directories of ours that may lie in the one that is listed: in use, and not looked into
 */
final case class Selection(feeds: Feeds, isRecursive: Boolean = false, include: Seq[Glob] = Seq.empty, exclude: Seq[Glob] = Seq.empty, ownDirs: Seq[String] = Seq.empty) extends Serializable {
  /** Whether a regular file of this name, relative to the directory, is to be loaded. */
  def isWanted(name: String): Boolean = !isLeftOut(name) && (include.isEmpty || include.exists(_.matches(name))) && feeds.isWanted(name)

  /** Whether a directory of this name is to be looked into, unless it is one of ours. */
  def isDescended(name: String): Boolean = isRecursive && !isLeftOut(name)

  private def isLeftOut(name: String): Boolean = Names.isUnfinished(Names.lastPart(name)) || exclude.exists(_.matches(name))
}

object Selection {
  val Everything: Selection = Selection(Feeds(Seq.empty))

  def parse(node: JsonNode): Selection =
    Selection(Feeds.parse(node.get("feeds")), node.get("recursive").asBoolean, Glob.parse(node.get("include")), Glob.parse(node.get("exclude")), Json.list(node.get("ownDirs")).map(_.asText))
}

/** What names of files say, as in `src/contract/fileNames.ts`. */
object Names {
  def lastPart(name: String): String = name.substring(name.lastIndexOf('/') + 1)

  def isHidden(name: String): Boolean = lastPart(name).startsWith(".")

  def isLoadable(name: String): Boolean = !isHidden(name) && Loadable.matcher(name).find()

  def isUnfinished(part: String): Boolean = part.startsWith(".") || Unfinished.matcher(part).find()

  private val Loadable = Pattern.compile("\\.csv(\\.gz)?\\z", Pattern.CASE_INSENSITIVE)
  private val Unfinished = Pattern.compile("(~|\\.(tmp|part|partial|filepart|crdownload|download|swp))\\z", Pattern.CASE_INSENSITIVE)
}

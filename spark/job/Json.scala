package ecompipe

import com.fasterxml.jackson.databind.node.ObjectNode
import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}

/** JSON of messages and offsets, with the library that Spark brings. */
object Json {
  val mapper = new ObjectMapper

  def list(node: JsonNode): Seq[JsonNode] = (0 until node.size).map(node.get)

  def write(node: ObjectNode, file: SourceFile): ObjectNode = node.put("path", file.path).put("name", file.name).put("fileStamp", file.fileStamp).put("size", file.size)

  def sourceFile(node: JsonNode): SourceFile = SourceFile(node.get("path").asText, node.get("name").asText, node.get("fileStamp").asText, node.get("size").asLong)
}

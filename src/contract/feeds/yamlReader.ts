import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type YAMLMap } from 'yaml';
import { didYouMean } from '../../platform/didYouMean.js';
import type { FeedPosition } from './feed.js';

/** A text with its place in the file. */
export interface PlacedText {
  readonly text: string;
  readonly position: FeedPosition;
}

/**
 * Reads a YAML document and collects all that is wrong with it, each with line and column. A value that is not what was
 * asked for is reported and then counts as absent.
 */
export class YamlReader {
  readonly problems: string[] = [];
  readonly root: YAMLMap | undefined;
  private readonly lines = new LineCounter();

  constructor(
    private readonly file: string,
    text: string,
  ) {
    const document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false });
    for (const { message, pos } of [...document.errors, ...document.warnings]) {
      const { line, col } = this.lines.linePos(pos[0]);
      this.problems.push(`${file}:${line}:${col}: ${message}`);
    }
    if (this.problems.length > 0) return;
    if (isMap(document.contents)) this.root = document.contents;
    else this.problems.push(`${file}:1:1: expected keys such as match: and columns:`);
  }

  positionOf(node: Node): FeedPosition {
    const { line, col } = this.lines.linePos(node.range?.[0] ?? 0);
    return { line, column: col };
  }

  report(node: Node, problem: string): void {
    const { line, column } = this.positionOf(node);
    this.problems.push(`${this.file}:${line}:${column}: ${problem}`);
  }

  /** The entries of a mapping: names and where they stand. Names given twice are YAML errors before that. */
  entriesOf(map: YAMLMap): { readonly key: Node; readonly name: string; readonly value: Node }[] {
    return map.items.flatMap(({ key, value }) => {
      if (!isScalar(key)) {
        this.report(map, 'a key must be a plain name');
        return [];
      }
      // `key:` without a value has no node of its own.
      return [{ key, name: scalarText(key.value, key.source), value: (value ?? key) as Node }];
    });
  }

  /** Reports keys that mean nothing. @returns the values of the others. */
  keysOf(map: YAMLMap, known: readonly string[], where: string): ReadonlyMap<string, Node> {
    const found = new Map<string, Node>();
    for (const { key, name, value } of this.entriesOf(map)) {
      if (known.includes(name)) found.set(name, value);
      else this.report(key, `unknown key ${JSON.stringify(name)} ${where}${didYouMean(name, known)}`);
    }
    return found;
  }

  mapping(node: Node, what: string): YAMLMap | undefined {
    if (isMap(node)) return node;
    this.report(node, `expected ${what}`);
    return undefined;
  }

  /** A text, or a number as it is written. */
  text(node: Node | undefined, what: string): PlacedText | undefined {
    if (node === undefined) return undefined;
    if (isScalar(node) && ['string', 'number'].includes(typeof node.value))
      return { text: scalarText(node.value, node.source), position: this.positionOf(node) };
    this.report(node, `expected ${what}`);
    return undefined;
  }

  /** One text, or several as a list. */
  texts(node: Node | undefined, what: string): PlacedText[] | undefined {
    if (node === undefined) return undefined;
    if (!isSeq(node)) {
      const only = this.text(node, what);
      return only === undefined ? undefined : [only];
    }
    return node.items.flatMap((item) => this.text(item as Node, what) ?? []);
  }

  oneOf<const T extends string>(node: Node | undefined, choices: readonly T[]): T | undefined {
    const found = this.text(node, `one of ${choices.join(', ')}`);
    if (node === undefined || found === undefined) return undefined;
    const choice = choices.find((candidate) => candidate === found.text);
    if (choice === undefined)
      this.report(
        node,
        `${JSON.stringify(found.text)}: expected one of ${choices.join(', ')}${didYouMean(found.text, choices)}`,
      );
    return choice;
  }
}

/** A number as it is written (`007`), where it was written as one. */
function scalarText(value: unknown, source: string | undefined): string {
  return typeof value === 'number' && source !== undefined ? source : String(value);
}

/** What is wrong with a pattern of file names, if anything is. */
export function globDefect(glob: string): string | undefined {
  if (glob === '') return 'an empty pattern matches nothing';
  if (glob.includes('\0')) return 'a file name cannot contain a NUL character';
  if (glob.startsWith('/')) return 'names are relative to the directory of the files: leave out the first /';
  let braces = 0;
  for (let at = 0; at < glob.length; at++) {
    const character = glob.charAt(at);
    if (character === '\\') {
      if (++at === glob.length) return 'a \\ at the end escapes nothing';
    } else if (character === '[') {
      const close = glob.indexOf(']', at + 2);
      if (close === -1) return 'a [ without its ]';
      at = close;
    } else if (character === '{') braces++;
    else if (character === '}' && --braces < 0) return 'a } without its {';
  }
  return braces > 0 ? 'a { without its }' : undefined;
}

/** Patterns that are separated by commas; those in braces or brackets, and escaped ones, are the patterns' own. */
export function splitGlobs(text: string): string[] {
  const globs = [''];
  let braces = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    const close = character === '[' ? text.indexOf(']', at + 2) : -1;
    let piece = character;
    if (character === '\\') piece = text.slice(at, at + 2);
    else if (close !== -1) piece = text.slice(at, close + 1);
    else if (character === '{') braces++;
    else if (character === '}') braces--;
    if (character === ',' && braces <= 0) globs.push('');
    else globs.push(`${globs.pop() ?? ''}${piece}`);
    at += piece.length - 1;
  }
  return globs.map((glob) => glob.trim()).filter((glob) => glob !== '');
}

/**
 * Whether a file is meant by a pattern: `*` and `?` stand for anything but a slash, `**` for directories too, `[a-z]` and
 * `{csv,tsv}` for a choice. Letters match in either case. A pattern without a slash is about the last part of the name.
 */
export function matchesGlob(name: string, glob: string): boolean {
  const subject = glob.includes('/') ? name : name.slice(name.lastIndexOf('/') + 1);
  return regExpOf(glob).test(subject);
}

/** A pattern as a regular expression, in what JavaScript and Java have in common; letters match in either case, and a dot all characters. */
export function globPattern(glob: string): string {
  return `^${translate(glob)}$`;
}

const compiled = new Map<string, RegExp>();

function regExpOf(glob: string): RegExp {
  const known = compiled.get(glob);
  if (known !== undefined) return known;
  const made = new RegExp(globPattern(glob), 'isu');
  compiled.set(glob, made);
  return made;
}

function translate(glob: string): string {
  let pattern = '';
  let braces = 0;
  for (let at = 0; at < glob.length; at++) {
    const character = glob.charAt(at);
    if (character === '*' && glob[at + 1] === '*') {
      at++;
      // `a/**/b` is also `a/b`.
      if (glob[at + 1] === '/') {
        at++;
        pattern += '(?:.*/)?';
      } else pattern += '.*';
    } else if (character === '*') pattern += '[^/]*';
    else if (character === '?') pattern += '[^/]';
    else if (character === '[') {
      const close = glob.indexOf(']', at + 2);
      const inside = glob.slice(at + 1, close);
      const negated = /^[!^]/.test(inside);
      const members = (negated ? inside.slice(1) : inside).replace(/[\\[\]^]/g, '\\$&');
      pattern += `(?!/)[${negated ? '^' : ''}${members}]`;
      at = close;
    } else if (character === '{') {
      braces++;
      pattern += '(?:';
    } else if (character === '}') {
      braces--;
      pattern += ')';
    } else if (character === ',' && braces > 0) pattern += '|';
    else pattern += escape(character === '\\' ? glob.charAt(++at) : character);
  }
  return pattern;
}

function escape(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}

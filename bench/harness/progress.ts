/** Says on stderr what is being done: one line that changes in a terminal, a line for each step elsewhere. */
export class Progress {
  private shown = '';
  private question = '';

  start(question: string): void {
    this.question = question;
  }

  step(text: string): void {
    const line = `${this.question}: ${text}`;
    if (line === this.shown) return;
    this.shown = line;
    process.stderr.write(
      process.stderr.isTTY ? `\r\x1b[2K${line}` : `${new Date().toISOString().slice(11, 19)} ${line}\n`,
    );
  }

  /** Leaves nothing behind on a terminal, so that a result can be printed. */
  clear(): void {
    if (process.stderr.isTTY && this.shown !== '') process.stderr.write('\r\x1b[2K');
    this.shown = '';
  }
}

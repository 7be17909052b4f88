/** Waits for a condition, looking every 10 ms; fails with its description after `deadlineMs`. */
export async function until(
  description: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${description}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

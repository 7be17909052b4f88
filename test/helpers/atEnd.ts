import type { TestContext } from 'node:test';

type Action = () => void | Promise<void>;

const actionsOf = new WeakMap<TestContext, Action[]>();

/**
 * Runs at the end of the test, what was registered last first: `t.after` begins with the first, and would remove a
 * directory that processes still write to.
 */
export function atEnd(t: TestContext, action: Action): void {
  const registered = actionsOf.get(t);
  if (registered !== undefined) {
    registered.push(action);
    return;
  }
  const actions = [action];
  actionsOf.set(t, actions);
  t.after(async () => {
    const errors: unknown[] = [];
    for (const each of actions.reverse())
      try {
        await each();
      } catch (error) {
        errors.push(error);
      }
    if (errors.length > 0) throw errors[0];
  });
}

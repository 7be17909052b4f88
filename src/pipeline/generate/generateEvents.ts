/** Everything the generator tells the outside. */
export type GenerateEvent =
  | {
      readonly type: 'runStarted';
      readonly runId: string;
      readonly seed: number;
      /** ISO 8601. */
      readonly start: string;
      /** ISO 8601; null without a history. */
      readonly historyStart: string | null;
      readonly profile: string;
      readonly manifest: string;
    }
  /** The manifest knows the file, but it can't be seen yet. */
  | { readonly type: 'fileSealed'; readonly file: string }
  | {
      readonly type: 'filePublished';
      readonly file: string;
      readonly path: string;
      readonly rows: number;
      readonly bytes: number;
      readonly isHistory: boolean;
      readonly firstEventTime: string | null;
      readonly lastEventTime: string | null;
    }
  /** What is generated from now on is live. */
  | {
      readonly type: 'historyGenerated';
      readonly files: number;
      readonly rows: number;
      /** The run was stopped before the history reached its end. */
      readonly wasCutShort: boolean;
    };

/** What a run did. */
export interface GenerateResult {
  readonly runId: string;
  readonly seed: number;
  /** ISO 8601. */
  readonly start: string;
  readonly manifest: string;
  readonly files: number;
  readonly events: number;
  /** Data rows written; more than events when dirt repeats some. */
  readonly rows: number;
  readonly bytes: number;
  readonly durationMs: number;
}

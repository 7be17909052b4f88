import { countOf, timeOfDay } from '/format.js';
import { showPipeline } from '/pipeline.js';
import { currentRange, onRangeChange } from '/range.js';
import { showShop } from '/shop.js';
import { byId, say, sayIfAny, sayWithCode } from '/tables.js';

/** @param {any} snapshot */
function show(snapshot) {
  const { database, batches, backlog, shop } = snapshot;
  const isEmpty = database.problem === null && batches.length === 0;
  showState(database.problem, isEmpty);
  byId('first').hidden = !isEmpty;
  if (isEmpty) sayWithCode('first-text', describeEmpty(backlog));
  const hasFigures = batches.length > 0;
  byId('pipeline').hidden = !hasFigures;
  byId('shop').hidden = !hasFigures || (shop === null && database.problem !== null);
  byId('shop').toggleAttribute('data-loading', shop === null);
  if (!hasFigures) return;
  showShop(snapshot);
  showPipeline(snapshot);
}

/** @param {any} backlog */
function describeEmpty({ incoming, processing }) {
  const files = (/** @type {number} */ number) => countOf(number, 'file waits', 'files wait');
  if (processing.files > 0) return `${files(processing.files)} to be loaded: \`ecompipe stream\` does that.`;
  if (incoming.files > 0)
    return `${files(incoming.files)} to be moved and loaded: \`ecompipe move\` and \`ecompipe stream\` do that.`;
  return 'Nothing has been loaded yet. `ecompipe run-all` makes events and loads them; `ecompipe stream` loads your own files.';
}

/** @param {{ kind: 'away' | 'schema' | 'final', what: string, why: string | null, hint: string | null, sinceMs: number } | null} problem @param {boolean} isEmpty */
function showState(problem, isEmpty) {
  byId('problem').hidden = problem === null;
  document.documentElement.dataset.stale = problem === null ? '' : 'database';
  if (problem === null) {
    setConnection(isEmpty ? 'waiting' : 'live', isEmpty ? 'Waiting for the first file' : 'Live');
    return;
  }
  const { kind, what, why, hint, sinceMs } = problem;
  byId('problem').dataset.kind = kind;
  const since = timeOfDay(sinceMs / 1000);
  if (kind === 'schema') {
    setConnection('waiting', 'Waiting for the tables');
    say('problem-what', 'Waiting for the tables of ecompipe');
  } else if (kind === 'final') {
    setConnection('lost', 'Ended');
    say('problem-what', 'The database refuses to be asked; somebody has to change the settings.');
  } else {
    setConnection('away', 'Database away');
    say(
      'problem-what',
      `The database has not answered since ${since}. What is dimmed is from before; trying again every second.`,
    );
  }
  sayIfAny('problem-why', kind === 'schema' ? what : `${what}${why === null ? '' : `: ${why}`}`);
  sayIfAny('problem-hint', hint === null ? '' : `Hint: ${hint}`);
}

/** The one place that a screen reader is told of by itself; so it changes only when the state does. @param {string} state @param {string} text */
function setConnection(state, text) {
  byId('connection').dataset.state = state;
  say('connection-text', text);
}

/** @type {EventSource | undefined} */
let source;
let hasEnded = false;

function connect() {
  source?.close();
  const range = currentRange();
  byId('json').setAttribute('href', `/api/snapshot?range=${range}`);
  byId('main').setAttribute('aria-busy', 'true');
  source = new EventSource(`/api/events?range=${range}`);
  source.addEventListener('message', ({ data }) => {
    const snapshot = JSON.parse(data);
    byId('main').removeAttribute('aria-busy');
    hasEnded = snapshot.database.problem?.kind === 'final';
    show(snapshot);
  });
  // The browser connects again by itself.
  source.addEventListener('error', () => {
    document.documentElement.dataset.stale = 'all';
    if (!hasEnded) setConnection('lost', 'ecompipe does not answer, trying again');
  });
}

// Where there is little room, the shop comes first and the details on request.
const details = /** @type {HTMLDetailsElement} */ (byId('pipeline-details'));
const isWide = matchMedia('(min-width: 60rem)');
const openIfWide = () => (details.open = isWide.matches);
isWide.addEventListener('change', openIfWide);
openIfWide();

onRangeChange(connect);
connect();

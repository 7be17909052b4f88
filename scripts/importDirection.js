// ESLint rule: imports run one way, library → commands → pipeline → contract → platform, and stages never import each other.
// It resolves each specifier, also of `import('…')` and of types, so that no spelling of a path gets past it.
import path from 'node:path';

/** Layers from the lowest to the highest; each may import those below it. */
const LAYERS = ['platform', 'contract', 'pipeline', 'commands', 'library'];
/** Folders of `pipeline` that look at what the stages did: what they may import beside the layers below. All others are stages. */
const OBSERVERS = { status: [], metrics: ['any stage', 'pipelineEvents'], dashboard: ['status', 'metrics'] };

/** Where a file of `src` is: its layer and, within `pipeline`, its folder or the name of a file that is in none. */
function placeOf(file, sources) {
  const [layer, part, ...rest] = path.relative(sources, file).split(path.sep);
  // `cli.ts` and `index.ts` are above the layer that they present.
  if (part === undefined) return { layer: layer.startsWith('index.') ? 'library' : 'cli' };
  return layer === 'pipeline' ? { layer, part: part.replace(/\.[jt]s$/, ''), isFolder: rest.length > 0 } : { layer };
}

/** @returns what is wrong with an import, or undefined. */
function defectOf(from, to) {
  if (to.layer === 'cli') return from.layer === 'cli' ? undefined : 'only bin/ecompipe.js starts src/cli.ts';
  if (from.layer === 'cli') return to.layer === 'library' ? 'cli.ts presents the commands, not the library' : undefined;
  if (!LAYERS.includes(from.layer)) return `src/${from.layer} is not a layer: add it to scripts/importDirection.js`;
  if (LAYERS.indexOf(to.layer) > LAYERS.indexOf(from.layer)) return `${from.layer} knows nothing of ${to.layer}`;
  const isWithin = to.layer !== from.layer || from.layer !== 'pipeline' || !from.isFolder || to.part === from.part;
  if (isWithin) return undefined;
  const allowed = OBSERVERS[from.part] ?? [];
  const isStage = to.isFolder && !(to.part in OBSERVERS);
  if (allowed.includes(to.part) || (isStage && allowed.includes('any stage'))) return undefined;
  return `${from.part} imports only ${['itself', ...allowed, 'contract', 'platform'].join(', ')}`;
}

export default {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const sources = path.join(context.cwd, 'src');
    const check = (node, specifier) => {
      if (typeof specifier !== 'string' || !specifier.startsWith('.')) return;
      const target = path.resolve(path.dirname(context.filename), specifier);
      if (!target.startsWith(sources + path.sep)) return;
      const defect = defectOf(placeOf(context.filename, sources), placeOf(target, sources));
      if (defect !== undefined) context.report({ node, message: `'${specifier}': ${defect}` });
    };
    const checkSource = (node) => check(node, node.source?.value);
    return {
      ImportDeclaration: checkSource,
      ExportNamedDeclaration: checkSource,
      ExportAllDeclaration: checkSource,
      ImportExpression: checkSource,
      TSImportType: checkSource,
    };
  },
};

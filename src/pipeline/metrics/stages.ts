import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { DatabaseAvailability, DatabaseEvent } from '../../platform/db/retry.js';
import { measureEvents, type Meters, type MetricSpec, type MetricSpecs } from '../../platform/stageEvents.js';
import type { PipelineEvent, PipelineStages } from '../pipelineEvents.js';

/** Registers the metrics of some stages. @returns a listener for the events of these; it ignores those of others. */
export function stageMetrics(registry: Registry, stages: Partial<PipelineStages>): (event: PipelineEvent) => void {
  const { generate, move, stream } = stages;
  const measure = {
    generate: generate && measureEvents(generate, registerMetrics(registry, generate.metrics)),
    move: move && measureEvents(move, registerMetrics(registry, move.metrics)),
    stream: stream && measureEvents(stream, registerMetrics(registry, stream.metrics)),
  };
  return ({ stage, event }) => {
    switch (stage) {
      case 'generate':
        measure.generate?.(event);
        break;
      case 'move':
        measure.move?.(event);
        break;
      case 'stream':
        measure.stream?.(event);
        break;
    }
  };
}

function registerMetrics<Specs extends MetricSpecs>(registry: Registry, specs: Specs): Meters<Specs> {
  return Object.fromEntries(
    Object.entries(specs).map(([key, spec]) => [key, registerMetric(registry, spec)]),
  ) as unknown as Meters<Specs>;
}

function registerMetric(registry: Registry, spec: MetricSpec): (amount: number, value?: string) => void {
  const { name, help } = spec;
  const registers = [registry];
  switch (spec.kind) {
    case 'gauge': {
      const gauge = new Gauge({ name, help, registers });
      return (amount) => gauge.set(amount);
    }
    case 'histogram': {
      const histogram = new Histogram({ name, help, registers, buckets: [...spec.buckets] });
      return (amount) => histogram.observe(amount);
    }
    case 'counter': {
      const { label, values = [] } = spec;
      if (label === undefined) {
        const counter = new Counter({ name, help, registers });
        return (amount) => counter.inc(amount);
      }
      const counter = new Counter({ name, help, registers, labelNames: [label] });
      for (const value of values) counter.inc({ [label]: value }, 0);
      return (amount, value) => counter.inc({ [label]: value }, amount);
    }
  }
}

const databaseMetricSpecs = {
  /** Classes of SQLSTATE (its first two characters) number some forty; `network` is a failure without one. */
  retries: {
    kind: 'counter',
    name: 'ecompipe_database_retries_total',
    help: 'Attempts on the database that failed for a passing reason, by class of SQLSTATE.',
    label: 'sqlstate_class',
    values: ['network', '08', '40', '53', '57'] as readonly string[],
  },
  up: {
    kind: 'gauge',
    name: 'ecompipe_database_up',
    help: 'Whether the database answers: 1, or 0 while it is being retried or has been silent for some seconds.',
  },
} as const;

export function databaseMetrics(
  registry: Registry,
): (event: DatabaseEvent, availability: DatabaseAvailability) => void {
  const meters = registerMetrics(registry, databaseMetricSpecs);
  meters.up(1);
  return (event, { awaySinceMs }) => {
    meters.up(awaySinceMs === undefined ? 1 : 0);
    if (event.type === 'databaseRetry') meters.retries(1, event.sqlState?.slice(0, 2) ?? 'network');
  };
}

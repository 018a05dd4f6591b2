import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
} from '@opentelemetry/api';
import type { Span, Tracer } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

/**
 * Spans of the way that work takes: API, registry, orchestrator, scheduler, agent.
 *
 * Kept out of OpenTelemetry's global tracer, so that no library adds spans of its own with what passes through it.
 * Attributes are ids, names and outcomes: never a prompt, a body or a token.
 */
let tracer: Tracer | null = null;
const contexts = new AsyncLocalStorageContextManager().enable();

/** Sends spans to an OTLP collector over HTTP until the answered function is called, which sends the rest first. */
export function startTracing(options: { readonly endpoint: string }): () => Promise<void> {
  const exporter = new OTLPTraceExporter({ url: `${options.endpoint}/v1/traces` });
  const processor = new BatchSpanProcessor(exporter, { scheduledDelayMillis: 1_000 });
  const provider = new BasicTracerProvider({ spanProcessors: [processor] });
  tracer = provider.getTracer('outrigger');
  return async () => {
    tracer = null;
    await provider.shutdown();
  };
}

export const isTracing = (): boolean => tracer !== null;

export interface SpanOptions {
  /** A `traceparent`, such as a row or a header carries. Left out, the span that is open around it. */
  readonly parent?: string | null | undefined;
  readonly attributes?: Attributes;
}

/** Does `work` within a span. Without tracing it only does the work. */
export function inSpan<Result>(name: string, options: SpanOptions, work: (span: Span | null) => Result): Result {
  if (tracer === null) return work(null);
  const context = contextOf(options.parent);
  const span = tracer.startSpan(name, { kind: SpanKind.INTERNAL, ...attributesOf(options) }, context);
  try {
    const result = contexts.with(trace.setSpan(context, span), () => work(span));
    if (result instanceof Promise) return endWith(span, result) as Result;
    span.end();
    return result;
  } catch (error) {
    failed(span);
    throw error;
  }
}

async function endWith<Result>(span: Span, result: Promise<Result>): Promise<Result> {
  try {
    const value = await result;
    span.end();
    return value;
  } catch (error) {
    failed(span);
    throw error;
  }
}

/** Its message is left out: it may repeat what was sent. */
function failed(span: Span): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** Writes down a span of what has already happened, perhaps begun by another process. */
export function recordSpan(name: string, options: SpanOptions & { readonly from: Date; readonly to: Date }): void {
  const { from, to } = options;
  tracer?.startSpan(name, { startTime: from, ...attributesOf(options) }, contextOf(options.parent)).end(to);
}

/**
 * The open span as a `traceparent`, for a row that other processes read; null without one.
 *
 * Source: W3C Trace Context §3.2
 */
export function traceParent(): string | null {
  const span = tracer === null ? undefined : trace.getSpanContext(contexts.active());
  return span ? `00-${span.traceId}-${span.spanId}-0${(span.traceFlags & 1).toString()}` : null;
}

const attributesOf = ({ attributes }: SpanOptions) => (attributes === undefined ? {} : { attributes });

const format = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** What is no traceparent of version 00 begins a trace of its own. */
function contextOf(parent: string | null | undefined): Context {
  if (parent === undefined) return contexts.active();
  const [, traceId, spanId] = format.exec(parent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });
}

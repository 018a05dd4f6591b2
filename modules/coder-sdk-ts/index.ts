export * from './client.ts';
export { CoderError, type CoderErrorKind, type CoderValidation } from './coder-error.ts';
export { faultOf } from './check-answer.ts';
export { description, describedRoutes, readsOnly, type DescribedRoute } from './description.ts';
export type { CallIntent, CallReport } from './transport.ts';

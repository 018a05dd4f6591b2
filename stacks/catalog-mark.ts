/**
 * Message of every template version that the stack `coder-catalog` makes, by which `outrigger template push` knows whose
 * the template is. Coder keeps at most 72 characters of it.
 */
export const catalogMessage = 'Published by the stack coder-catalog of Outrigger';

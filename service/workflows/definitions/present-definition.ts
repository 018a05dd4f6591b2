import type { DefinitionRecord, ListedDefinition, VersionRecord } from './definition-store.ts';
import { manifestOf } from './definition.ts';

/** A definition as it was written, with what the service knows of it in `status`. */
export const presentDefinition = (definition: DefinitionRecord, version: VersionRecord) => ({
  ...manifestOf(definition.name, version.spec),
  status: {
    organization_id: definition.organizationId,
    author_id: definition.authorId,
    ...presentVersion(version),
    current_version: definition.version,
  },
});

/** One version in a list: without what it says. */
export const presentVersion = (version: VersionRecord) => ({
  version: version.version,
  created_at: version.createdAt.toISOString(),
  created_by: version.createdBy,
  restored_from: version.restoredFrom,
});

/** A definition in a list: without its steps. */
export const summarizeDefinition = (definition: ListedDefinition) => ({
  name: definition.name,
  version: definition.version,
  description: definition.description,
  parameters: definition.parameters ?? [],
  author_id: definition.authorId,
  created_at: definition.createdAt.toISOString(),
  updated_at: definition.updatedAt.toISOString(),
});

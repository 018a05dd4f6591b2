/** Where a secret is kept, which decides whose work may use it. */
export interface SecretPlace {
  readonly organizationId: string;
  /** Null for what belongs to all members of the organization. */
  readonly ownerId: string | null;
  /** Null for what serves every workspace of its owner. */
  readonly workspaceId: string | null;
}

/** Points at one value: a secret of a place, and a key in it. */
export interface SecretRef {
  readonly name: string;
  readonly key: string;
}

export type SecretScope = 'organization' | 'owner' | 'workspace';

export const organizationPlace = (organizationId: string): SecretPlace => ({
  organizationId,
  ownerId: null,
  workspaceId: null,
});

/** The places of a workspace's owner, the narrowest first; nobody else's secrets stand in them. */
export const ownPlaces = (of: {
  readonly organizationId: string;
  readonly ownerId: string;
  readonly workspaceId?: string;
}): readonly SecretPlace[] => {
  const owner = { organizationId: of.organizationId, ownerId: of.ownerId, workspaceId: null };
  return of.workspaceId === undefined ? [owner] : [{ ...owner, workspaceId: of.workspaceId }, owner];
};

export function scopeOf(place: SecretPlace): SecretScope {
  if (place.workspaceId !== null) return 'workspace';
  return place.ownerId === null ? 'organization' : 'owner';
}

/** `<organization>/<owner>/<workspace>/<name>`, with `-` for what a place has none of. */
export const secretPath = (place: SecretPlace, name: string): string =>
  [place.organizationId, place.ownerId ?? '-', place.workspaceId ?? '-', name].map(encodeURIComponent).join('/');

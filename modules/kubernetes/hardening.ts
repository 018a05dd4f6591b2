/** User of every container, and the group that volumes get; group 0 is what images for arbitrary user ids are made for. */
const user = '1000';
const group = '0';

const identity = {
  runAsNonRoot: true,
  runAsUser: user,
  runAsGroup: group,
  seccompProfile: { type: 'RuntimeDefault' },
} as const;

/**
 * Security context of the pod.
 *
 * Volumes are handed over once, while they are empty: doing it at every start would make a person's SSH keys readable
 * by their group, and `ssh` refuses such keys.
 */
export const podSecurity = { ...identity, fsGroup: user, fsGroupChangePolicy: 'OnRootMismatch' } as const;

/**
 * Security context of one container, and enough for Pod Security "restricted".
 *
 * It says what the pod says already: the provider sends every field that is left out as false, and that overrides the
 * pod's `run_as_non_root`.
 */
export function containerSecurity(isRootReadOnly: boolean) {
  return {
    ...identity,
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: isRootReadOnly,
    capabilities: { drop: ['ALL'] },
  };
}

import type { SimulatedForm } from '../form.ts';

/** The form of the recorded template `rec-docker`. */
export const recordedForm: SimulatedForm = {
  parameters: [
    {
      name: 'size',
      displayName: 'Size',
      description: 'How *big*',
      formType: 'dropdown',
      icon: '/icon/memory.svg',
      order: 1,
      default: 's',
      options: [
        { name: 'Small', value: 's' },
        { name: 'Large', value: 'l' },
      ],
    },
    {
      name: 'cpu',
      type: 'number',
      order: 2,
      default: '1',
      validation: { error: 'between {min} and {max}, got {value}', min: 1, max: 4 },
    },
    {
      name: 'branch',
      order: 3,
      default: 'main',
      validation: { error: 'lower-case letters only', regex: '^[a-z0-9-]+$' },
    },
    {
      name: 'tools',
      type: 'list(string)',
      formType: 'multi-select',
      order: 4,
      default: '["git"]',
      options: [
        { name: 'git', value: 'git' },
        { name: 'rg', value: 'rg' },
      ],
    },
    { name: 'disk', type: 'number', order: 5, default: '10', mutable: false },
    { name: 'once', order: 6, default: 'none', ephemeral: true, styling: { mask_input: true } },
    {
      name: 'gpu',
      type: 'bool',
      formType: 'checkbox',
      order: 7,
      default: 'false',
      when: ({ size }) => size === 'l',
    },
  ],
  presets: [
    { id: 'f6d290a9-8520-49a6-83b7-6c2d82b62b88', name: 'Large', parameters: { cpu: '4', size: 'l' } },
    {
      id: 'd6b3ce6b-5953-4b06-b873-cc13eb67f048',
      name: 'Small',
      parameters: { cpu: '1', size: 's' },
      isDefault: true,
    },
  ],
};

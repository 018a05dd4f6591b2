import { main } from '../service/main.ts';

// What the service's image starts. Unlike `outrigger serve` it never simulates a Coder.
process.exitCode = await main({ tell: (line) => console.error(line) });

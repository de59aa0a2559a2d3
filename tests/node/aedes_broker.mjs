// aedes for tests/aedes.py: listens on a port that it says, until its standard input ends.
//   node aedes_broker.mjs PATH_OF_ITS_MODULE PORT
import { createServer } from "node:net";

const { Aedes } = await import(process.argv[2]);
const broker = await Aedes.createBroker();
broker.on("clientError", (client, error) => console.error(`${client?.id}: ${error.message}`));
broker.on("connectionError", (client, error) => console.error(`connection: ${error.message}`));
const server = createServer(broker.handle);
server.listen(Number(process.argv[3]), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();

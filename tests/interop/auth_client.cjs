// MQTT.js as a client that authenticates itself in several packets, and then once more; a line for what happens.
// usage: node auth_client.cjs URL KEY
const { createHmac } = require("crypto");
const mqtt = require(process.env.MQTT_JS);

const [url, key] = process.argv.slice(2);
const method = "CHALLENGE";
const client = mqtt.connect(url, {
  protocolVersion: 5,
  reconnectPeriod: 0,
  clientId: "c",
  properties: { authenticationMethod: method, authenticationData: Buffer.from("hello") },
});
client.handleAuth = (packet, callback) => {
  if (packet.reasonCode === 0) {
    console.log(`again ${packet.properties.authenticationData}`);
    callback();
    client.end();
    return;
  }
  const answer = createHmac("sha256", key).update(packet.properties.authenticationData).digest();
  callback(null, {
    cmd: "auth",
    reasonCode: 0x18,
    properties: { authenticationMethod: method, authenticationData: answer },
  });
};
client.on("connect", (connack) => {
  console.log(`connected ${connack.properties.authenticationData}`);
  client._sendPacket({ cmd: "auth", reasonCode: 0x19, properties: { authenticationMethod: method } });
});
client.on("error", (error) => console.log(`error ${error.code}`));

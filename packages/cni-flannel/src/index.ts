export { runFlannelPlugin } from "./run-flannel-plugin.ts";

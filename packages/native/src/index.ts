export { flock } from "./addon.ts";

import { writeAuthStatus } from "./messages/auth.ts";
import { writeHeader } from "./messages/common.ts";
import { unary, type Method } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";

/** Change nothing or list nothing: their answer is a header. */
const EMPTY_ANSWERS = ["AuthDisable", "UserList", "RoleList"];

/** What an etcd without users, roles and authentication answers, in its words: clients match them. */
const REFUSALS: readonly (readonly [text: string, methods: readonly string[]])[] = [
  ["authentication is not enabled", ["Authenticate"]], // a client that was given a password goes on without it
  ["root user does not exist", ["AuthEnable"]],
  ["user name not found", ["UserGet", "UserDelete", "UserChangePassword", "UserGrantRole", "UserRevokeRole"]],
  ["role name not found", ["RoleGet", "RoleDelete", "RoleGrantPermission", "RoleRevokePermission"]],
];

const UNAVAILABLE = ["UserAdd", "RoleAdd"];

/** etcdserverpb.Auth: authentication is off, and there are no users and no roles. Who may connect is TLS's to say. */
export function authService(context: ServiceContext): [string, Method][] {
  const header = () => context.header(context.store.currentRevision);
  const refuse = (name: string, error: () => RpcError) =>
    unary(`/etcdserverpb.Auth/${name}`, () => Promise.reject(error()));
  const status = async () => Promise.resolve(encode((writer) => writeAuthStatus(writer, header())));
  const empty = async () => Promise.resolve(encode((writer) => writeHeader(writer, header())));
  return [
    unary("/etcdserverpb.Auth/AuthStatus", status),
    ...EMPTY_ANSWERS.map((name) => unary(`/etcdserverpb.Auth/${name}`, empty)),
    ...REFUSALS.flatMap(([text, names]) => names.map((name) => refuse(name, () => RpcError.failedPrecondition(text)))),
    ...UNAVAILABLE.map((name) => refuse(name, () => RpcError.unimplemented(name))),
  ];
}

using System.Net;
using Millrace.Embedded;
using Millrace.Server;

Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
await using var store = new EmbeddedStreamStore(new EmbeddedStoreOptions());
await using var server = new RespServer(store, new RespServerOptions { Port = int.Parse(args[0]), Address = IPAddress.Loopback });
await server.StartAsync();
Console.WriteLine($"Listening on {server.Endpoint}");
await new TaskCompletionSource().Task;

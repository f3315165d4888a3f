// Prints how many bytes the framework allocates for a message it handles with a handler that does nothing, on the embedded store, beyond the
// message's payload and the object made of it.
//   Millrace.AllocationProbe [MESSAGES [types]]
// With "types" also a table of everything that was allocated, payload and objects included, drawn at random by the runtime; take a million messages
// for that.
using System.Globalization;
using Millrace.AllocationProbe;

var messages = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 10_000;
await using var probe = await Probe.StartAsync();
await probe.HandleAsync(10_000);
using var sampler = new TypeSampler(isWanted: args is [_, "types"]);
var bytes = await probe.HandleAsync(messages, sampler);
Console.WriteLine(FormattableString.Invariant($"{bytes:0.0} bytes a message beyond {probe.PayloadBytes} of payload and {probe.ObjectBytes} of objects"));
sampler.Print(messages);

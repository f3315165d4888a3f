using System.CommandLine;
using Millrace.Cli.Serve;

var root = new RootCommand("Millrace: event-driven messaging on Redis Streams.") { ServeCommand.Create() };
var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors)
        await Console.Error.WriteLineAsync(error.Message);
    return 2;
}

// No time limit of the parser's own on the end: serving stops by itself and exits with what it says.
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });

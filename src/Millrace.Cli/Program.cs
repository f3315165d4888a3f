using System.CommandLine;
using Millrace.Cli.Journal;
using Millrace.Cli.Serve;

var root = new RootCommand("Millrace: event-driven messaging on Redis Streams.") { ServeCommand.Create(), JournalCommand.Create() };
var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    // What follows an unknown option is its value as a rule, and no command is found behind an unknown one: the first unknown word gets a line.
    var unknown = parsed.UnmatchedTokens.Select(static token => $"Unrecognized command or argument '{token}'.").ToList();
    var lines = parsed.Errors.Select(static error => error.Message).Except(unknown.Skip(1));
    foreach (var line in unknown.Count > 0 && parsed.CommandResult.Command == root ? [unknown[0]] : lines)
        await Console.Error.WriteLineAsync(line);
    return 2;
}

// No time limit of the parser's own on the end: serving stops by itself and exits with what it says.
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });

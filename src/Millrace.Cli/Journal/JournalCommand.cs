using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using Millrace.Embedded.Inspection;
using Millrace.Streams;

namespace Millrace.Cli.Journal;

/// <summary><c>millrace journal</c>: looks into a data directory, checks it, and brings what can be read of a damaged one to another.</summary>
internal static class JournalCommand
{
    private const long DefaultCount = 100;

    private static readonly Argument<string> Source = new("DIR") { Description = "The data directory." };

    private static readonly Option<bool> Json = new("--json") { Description = "Print one JSON object." };

    private static readonly Option<bool> Records = new("--records") { Description = "Print records as well, one per line. Payloads are shown as sizes." };

    private static readonly Option<long?> From = new("--from")
    {
        Description = "The first record to print, by its log sequence number. Needs --records.",
        HelpName = "LSN",
        CustomParser = result => Whole(result),
    };

    private static readonly Option<long?> Count = new("--count")
    {
        Description = "Records to print at most, 100 unless told. Needs --records.",
        HelpName = "N",
        CustomParser = result => Whole(result),
    };

    private static readonly Option<string> To = new("--to") { Description = "The directory for the copy: new or empty.", HelpName = "DIR", Required = true };

    private static readonly Option<bool> SkipDamage = new("--skip-damage")
    {
        Description = "Keep the whole records behind the damage, too, as far as they still apply. Without it the copy ends at the first damage.",
    };

    public static Command Create() => new("journal", "Look into a data directory, check it, or save what a damaged one still holds.")
    {
        CreateInspect(), CreateVerify(), CreateSalvage(),
    };

    private static Command CreateInspect()
    {
        var command = new Command("inspect", "Say what is in a data directory: files, records, what is synced. Changes nothing; a server may run on it.")
        {
            Source, Json, Records, From, Count,
        };
        command.Validators.Add(static command =>
        {
            if (command.GetResult(Records) is not { Implicit: false } && (command.GetResult(From) ?? command.GetResult(Count)) is not null)
                command.AddError("--from and --count need --records.");
        });
        command.SetAction(options => Run(() =>
        {
            var report = DirectorySurvey.Read(options.GetValue(Source)!);
            var records = options.GetValue(Records) ? Select(report, options.GetValue(From) ?? 1, options.GetValue(Count) ?? DefaultCount) : null;
            if (options.GetValue(Json))
            {
                Print(new InspectOutput(report, records));
            }
            else
            {
                ReportText.Print(Console.Out, report);
                foreach (var record in records ?? [])
                    Console.WriteLine(record);
            }

            return report.Damages.Count > 0 ? 1 : 0;
        }));
        return command;
    }

    private static Command CreateVerify()
    {
        var command = new Command("verify", "Read everything as a start does, and name each damage. Changes nothing; a server may run on it.") { Source, Json };
        command.SetAction(options => Run(() =>
        {
            var report = DirectoryCheck.Run(options.GetValue(Source)!);
            if (options.GetValue(Json))
                Print(new InspectOutput(report, null));
            else
                ReportText.PrintVerdict(Console.Out, report);
            return report.Damages.Count > 0 ? 1 : 0;
        }));
        return command;
    }

    private static Command CreateSalvage()
    {
        var command = new Command("salvage", "Write what a damaged directory still holds to another one, which opens. Never touches the damaged one.")
        {
            Source, To, SkipDamage,
        };
        command.SetAction(options => Run(() =>
        {
            ReportText.Print(Console.Out, DirectorySalvage.Run(options.GetValue(Source)!, options.GetValue(To)!, options.GetValue(SkipDamage)));
            return 0;
        }));
        return command;
    }

    private static List<NumberedRecord> Select(DirectoryReport report, long from, long count)
    {
        var records = new List<NumberedRecord>();
        DirectoryRecords.Read(report, (lsn, record, _, _) =>
        {
            if (lsn >= from && records.Count < count)
                records.Add(NumberedRecord.Read(lsn, record));
        });
        return records;
    }

    /// <summary>What fails is one line on the standard error and exit code 1.</summary>
    private static int Run(Func<int> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (e is StreamException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
    }

    private static void Print(InspectOutput output) => Console.WriteLine(JsonSerializer.Serialize(output, OutputContext.Default.InspectOutput));

    private static long? Whole(ArgumentResult result)
    {
        var text = result.Tokens[^1].Value;
        if (long.TryParse(text, out var value) && value > 0)
            return value;
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} takes a number from 1 up, not '{text}'.");
        return null;
    }
}

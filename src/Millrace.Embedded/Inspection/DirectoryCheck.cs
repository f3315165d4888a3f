namespace Millrace.Embedded.Inspection;

/// <summary>Reads everything as a start does, and applies it to an engine that is thrown away: what a start would refuse is named.</summary>
internal static class DirectoryCheck
{
    /// <summary>A store at work deletes files between the two readings; see <see cref="DirectorySurvey"/>.</summary>
    private const int MaxAttempts = 10;

    /// <summary>Takes memory for the whole state.</summary>
    /// <exception cref="IOException">The directory or a file in it cannot be read.</exception>
    public static DirectoryReport Run(string directory)
    {
        for (var attempt = 1; ; attempt++)
        {
            var report = DirectorySurvey.Read(directory);
            if (report.Damages.Count > 0)
                return report;
            try
            {
                var replay = StateReplay.Run(report, skipDamage: false);
                replay.Engine.Verify();
                return replay.Refused is { } refused ? report with { Damages = [refused] } : report;
            }
            catch (FileNotFoundException) when (attempt < MaxAttempts)
            {
                // Deleted since, because a snapshot covers it.
            }
        }
    }
}

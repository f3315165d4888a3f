namespace Millrace;

/// <summary>The host cannot start: something about messages, handlers or options is wrong. Everything that is wrong, at once.</summary>
public sealed class MillraceConfigurationException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="errors">What is wrong, one sentence each; options with their configuration path.</param>
    public MillraceConfigurationException(IReadOnlyList<string> errors)
        : base($"Millrace cannot start, {errors.Count} error(s):" +
            $"{string.Concat(errors.Select(error => $"{Environment.NewLine}- {error}"))}") =>
        Errors = errors;

    /// <summary>What is wrong, one sentence each.</summary>
    public IReadOnlyList<string> Errors { get; }
}

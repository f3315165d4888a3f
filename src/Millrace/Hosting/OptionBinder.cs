using System.Globalization;
using Microsoft.Extensions.Configuration;
using Millrace.Streams;

namespace Millrace.Hosting;

/// <summary>
/// Puts configuration over options and checks the result: one line an option, every error with its configuration path. By hand, because the
/// binder's reflection does not survive trimming and stops at the first error.
/// </summary>
internal sealed class OptionBinder(IConfiguration? configuration, string path, List<string> errors)
{
    private readonly HashSet<string> _known = new(StringComparer.OrdinalIgnoreCase);

    public static void Bind(ConsumerOptions options, IConfiguration? configuration, string group, List<string> errors)
    {
        var binder = new OptionBinder(configuration, $"Millrace:Consumers:{group}", errors);
        options.Concurrency = binder.Integer(nameof(options.Concurrency), options.Concurrency, 1, 1_000);
        options.Prefetch = binder.Integer(nameof(options.Prefetch), options.EffectivePrefetch, 0, 4_000);
        options.PrefetchBytes = binder.Integer(nameof(options.PrefetchBytes), options.PrefetchBytes, 64 * 1024, 1024 * 1024 * 1024);
        options.MaxAttempts = binder.Integer(nameof(options.MaxAttempts), options.MaxAttempts, 1, 1_000);
        options.MaxDeliveries = binder.Integer(nameof(options.MaxDeliveries), options.MaxDeliveries, 1, 1_000);
        options.RetryBaseDelay = binder.Duration(nameof(options.RetryBaseDelay), options.RetryBaseDelay, TimeSpan.Zero);
        options.RetryMaxDelay = binder.Duration(nameof(options.RetryMaxDelay), options.RetryMaxDelay, options.RetryBaseDelay);
        binder.RetryRules(options);
        options.HandlerTimeout = binder.Duration(
            nameof(options.HandlerTimeout), options.HandlerTimeout, TimeSpan.FromMilliseconds(1), orElse: Timeout.InfiniteTimeSpan);
        options.Lease = binder.Duration(nameof(options.Lease), options.Lease, TimeSpan.FromMilliseconds(500));
        options.Undecodable = binder.Choice(nameof(options.Undecodable), options.Undecodable);
        binder.Flow(options);
        options.DeduplicationWindow = binder.Duration(
            nameof(options.DeduplicationWindow), options.DeduplicationWindow, TimeSpan.FromSeconds(1), orElse: TimeSpan.Zero);
        options.Start = binder.Start(nameof(options.Start), options.Start);
        options.OrderedBy = binder.Name(nameof(options.OrderedBy), options.OrderedBy);
        options.WhenExhausted = binder.Choice(nameof(options.WhenExhausted), options.WhenExhausted);
        options.MaxParkedKeys = binder.Integer(nameof(options.MaxParkedKeys), options.MaxParkedKeys, 1, 100_000);
        options.MaxWaitingEntries = binder.Integer(nameof(options.MaxWaitingEntries), options.MaxWaitingEntries, 1, 1_000_000);
        if (options.OrderedBy is null && options.WhenExhausted != WhenExhausted.DeadLetter)
            binder.Refuse(nameof(options.WhenExhausted), "is for groups that are ordered; set OrderedBy.");
        binder.RefuseUnknown();
    }

    public static void Bind(MillraceOptions options, IConfiguration? configuration, List<string> errors)
    {
        var binder = new OptionBinder(configuration, "Millrace", errors);
        options.Source = binder.Name(nameof(options.Source), options.Source);
        options.InstanceName = binder.Name(nameof(options.InstanceName), options.InstanceName);
        options.DrainTimeout = binder.Duration(nameof(options.DrainTimeout), options.DrainTimeout, TimeSpan.Zero);
        options.ExitOnSecondSignal = binder.Flag(nameof(options.ExitOnSecondSignal), options.ExitOnSecondSignal);
        options.SampleInterval = binder.Duration(nameof(options.SampleInterval), options.SampleInterval, TimeSpan.FromMilliseconds(100));
        options.RetentionInterval = binder.Duration(nameof(options.RetentionInterval), options.RetentionInterval, TimeSpan.FromSeconds(1));
    }

    public static void Bind(StreamRetention retention, IConfiguration? configuration, string stream, List<string> errors)
    {
        var binder = new OptionBinder(configuration, $"Millrace:Retention:{stream}", errors);
        retention.MaxAge = binder.Age(nameof(retention.MaxAge), retention.MaxAge, TimeSpan.Zero);
        retention.MaxCount = binder.Number(nameof(retention.MaxCount), retention.MaxCount);
        retention.MaxBytes = binder.Number(nameof(retention.MaxBytes), retention.MaxBytes);
        retention.KeepUnsettled = binder.Flag(nameof(retention.KeepUnsettled), retention.KeepUnsettled);
        retention.AbandonedAfter = binder.Age(
            nameof(retention.AbandonedAfter), retention.AbandonedAfter, StreamRetention.MinAbandonedAfter)!.Value;
        retention.AbandonedGroups = binder.Choice(nameof(retention.AbandonedGroups), retention.AbandonedGroups);
        retention.DeadLetters = binder.DeadLetters(nameof(retention.DeadLetters), retention.DeadLetters);
        binder.RefuseUnknown();
    }

    private int Integer(string name, int value, int min, int max)
    {
        if (Configured(name) is { } text && !int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out value))
            errors.Add($"{path}:{name}: '{text}' is not a whole number.");
        else if (value < min || value > max)
            errors.Add($"{path}:{name}: {value} is outside {min} to {max}.");
        return value;
    }

    private DeadLetterRetention? DeadLetters(string name, DeadLetterRetention? value)
    {
        _known.Add(name);
        var binder = new OptionBinder(configuration, $"{path}:{name}", errors);
        var bound = new DeadLetterRetention
        {
            MaxAge = binder.Age(nameof(value.MaxAge), value?.MaxAge, TimeSpan.Zero),
            MaxCount = binder.Number(nameof(value.MaxCount), value?.MaxCount),
            AuditMaxAge = binder.Age(nameof(value.AuditMaxAge), value?.AuditMaxAge, TimeSpan.Zero),
        };
        binder.RefuseUnknown();
        return bound == new DeadLetterRetention() ? null : bound;
    }

    private long? Number(string name, long? value)
    {
        if (Configured(name) is { } text)
        {
            if (!long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var number))
            {
                errors.Add($"{path}:{name}: '{text}' is not a whole number.");
                return value;
            }

            value = number;
        }

        if (value < 0)
            errors.Add($"{path}:{name}: {value} is less than 0.");
        return value;
    }

    private bool Flag(string name, bool value)
    {
        if (Configured(name) is { } text && !bool.TryParse(text, out value))
            errors.Add($"{path}:{name}: '{text}' is neither true nor false.");
        return value;
    }

    /// <summary>How old something may become, which no timer waits for.</summary>
    private TimeSpan? Age(string name, TimeSpan? value, TimeSpan min)
    {
        if (Configured(name) is null && value is null)
            return null;
        return Duration(name, value ?? min, min, max: StreamLimits.MaxDuration);
    }

    private TimeSpan Duration(string name, TimeSpan value, TimeSpan min, TimeSpan? orElse = null, TimeSpan? max = null)
    {
        if (Configured(name) is { } text && !TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out value))
            errors.Add($"{path}:{name}: '{text}' is not a duration; write hh:mm:ss.");
        else if (value != orElse && (value < min || value > (max ?? MaxWait)))
            errors.Add($"{path}:{name}: {value} is outside {min} to {max ?? MaxWait}.");
        return value;
    }

    // The longest wait the timers of .NET take.
    private static TimeSpan MaxWait { get; } = TimeSpan.FromDays(49);

    private T Choice<T>(string name, T value)
        where T : struct, Enum
    {
        if (Configured(name) is { } text && !Enum.TryParse(text, ignoreCase: true, out value))
            errors.Add($"{path}:{name}: '{text}' is none of {string.Join(", ", Enum.GetNames<T>())}.");
        else if (!Enum.IsDefined(value))
            errors.Add($"{path}:{name}: {value} is none of {string.Join(", ", Enum.GetNames<T>())}.");
        return value;
    }

    private string? Name(string name, string? value)
    {
        value = Configured(name) ?? value;
        if (value is { Length: 0 or > 256 })
            errors.Add($"{path}:{name}: must have 1 to 256 characters.");
        return value;
    }

    private void Refuse(string name, string why) => errors.Add($"{path}:{name}: {why}");

    private GroupStart Start(string name, GroupStart value)
    {
        if (Configured(name) is not { } text)
            return value;
        if (GroupStart.TryParse(text, out var start))
            return start;
        errors.Add($"{path}:{name}: '{text}' is neither Beginning, Now, an entry ID nor a time, such as 2026-11-21T10:00:00Z.");
        return value;
    }

    private void Flow(ConsumerOptions options)
    {
        options.BatchSize = Integer(nameof(options.BatchSize), options.BatchSize, 1, 1_000);
        options.BatchWait = Duration(nameof(options.BatchWait), options.BatchWait, TimeSpan.Zero, max: TimeSpan.FromMinutes(1));
        options.BreakerFailures = Integer(nameof(options.BreakerFailures), options.BreakerFailures, 0, 1_000_000);
        options.BreakerFailureRatio = Ratio(nameof(options.BreakerFailureRatio), options.BreakerFailureRatio);
        options.BreakerWindow = Duration(nameof(options.BreakerWindow), options.BreakerWindow, TimeSpan.FromMilliseconds(100));
        options.BreakerMinimum = Integer(nameof(options.BreakerMinimum), options.BreakerMinimum, 2, 1_000_000);
        options.BreakerPause = Duration(nameof(options.BreakerPause), options.BreakerPause, TimeSpan.FromMilliseconds(1));
        options.BreakerMaxPause = Duration(nameof(options.BreakerMaxPause), options.BreakerMaxPause, options.BreakerPause);
        options.RateLimit = Integer(nameof(options.RateLimit), options.RateLimit, 0, 10_000_000);
        options.RatePeriod = Duration(nameof(options.RatePeriod), options.RatePeriod, TimeSpan.FromMilliseconds(100), max: TimeSpan.FromDays(1));
    }

    private double Ratio(string name, double value)
    {
        if (Configured(name) is { } text && !double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value))
            errors.Add($"{path}:{name}: '{text}' is not a number.");
        else if (!(value >= 0 && value <= 1))
            errors.Add(string.Create(CultureInfo.InvariantCulture, $"{path}:{name}: {value} is outside 0 to 1."));
        return value;
    }

    /// <summary>Configured rules first, then those of the code; all are checked.</summary>
    private void RetryRules(ConsumerOptions options)
    {
        _known.Add(nameof(options.RetryRules));
        var fromCode = options.RetryRules.ToArray();
        options.RetryRules.Clear();
        foreach (var section in configuration?.GetSection($"{path}:{nameof(options.RetryRules)}").GetChildren() ?? [])
            options.RetryRules.Add(new OptionBinder(configuration, section.Path, errors).RetryRule(options, new() { Exception = "" }));
        foreach (var rule in fromCode)
            options.RetryRules.Add(new OptionBinder(null, $"{path}:{nameof(options.RetryRules)}:{rule.Exception}", errors).RetryRule(options, rule));
    }

    private RetryRule RetryRule(ConsumerOptions options, RetryRule rule)
    {
        var baseDelay = Duration(nameof(rule.BaseDelay), rule.BaseDelay ?? options.RetryBaseDelay, TimeSpan.Zero);
        var maxDelay = rule.MaxDelay ?? (baseDelay > options.RetryMaxDelay ? baseDelay : options.RetryMaxDelay);
        var bound = new RetryRule
        {
            Exception = Name(nameof(rule.Exception), rule.Exception)!,
            MaxAttempts = Configured(nameof(rule.MaxAttempts)) is null && rule.MaxAttempts is null
                ? null
                : Integer(nameof(rule.MaxAttempts), rule.MaxAttempts ?? 1, 1, 1_000),
            BaseDelay = baseDelay,
            MaxDelay = Duration(nameof(rule.MaxDelay), maxDelay, baseDelay),
        };
        RefuseUnknown();
        return bound;
    }

    private string? Configured(string name)
    {
        _known.Add(name);
        return configuration?.GetSection(path)[name];
    }

    private void RefuseUnknown()
    {
        foreach (var child in configuration?.GetSection(path).GetChildren() ?? [])
        {
            if (!_known.Contains(child.Key))
                errors.Add($"{child.Path}: there is no such option; there are {string.Join(", ", _known)}.");
        }
    }
}

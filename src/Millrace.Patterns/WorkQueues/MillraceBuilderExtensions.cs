using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>Adds job queues to Millrace.</summary>
public static class MillraceBuilderExtensions
{
    extension(MillraceBuilder builder)
    {
        /// <summary>
        /// Adds <see cref="JobQueue"/> as a keyed singleton under the queue's name, for a process that enqueues or waits; one that works calls <c>AddJob</c>.
        /// May be called several times. Jobs are messages: add their classes with <c>AddMessage</c>.
        /// </summary>
        /// <param name="queue">The queue's name; its stream and the consumer group of its workers have the same.</param>
        /// <param name="configure">Changes the settings, which are to be the same in every process.</param>
        /// <exception cref="ArgumentException">The name cannot be that of a stream other names are derived from.</exception>
        public MillraceBuilder AddJobQueue(string queue, Action<JobQueueOptions>? configure = null)
        {
            var registration = builder.Register(queue);
            configure?.Invoke(registration.Options);
            return builder;
        }

        /// <summary>Adds the handler of a class of jobs, and the queue if it is missing.</summary>
        /// <typeparam name="TJob">The jobs' class, which has a message name.</typeparam>
        /// <param name="queue">The queue.</param>
        /// <param name="handler">The handler. Returning means succeeded, throwing means tried again later.</param>
        /// <param name="configure">
        /// Sets how the queue's workers work; every handler of a queue may, in the order added. Configuration under
        /// <c>Millrace:Consumers:&lt;queue&gt;</c> has the last word. The time limit of a job is its own, so that of the handler is infinite. A queue has no
        /// lanes, no <see cref="ConsumerOptions.OrderedBy"/>, and ignores nothing, see <see cref="ConsumerOptions.OwnsStream"/>.
        /// </param>
        public MillraceBuilder AddJob<TJob>(
            string queue, Func<TJob, JobContext, CancellationToken, Task> handler, Action<ConsumerOptions>? configure = null)
            where TJob : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            return builder.Add<TJob>(queue, async (job, context, cancellationToken) =>
            {
                await handler(job, context, cancellationToken).ConfigureAwait(false);
                return null;
            }, configure);
        }

        /// <summary>
        /// As the other overload, with a handler that returns a result, see <see cref="Job.ResultAsync{TResult}(TimeSpan, CancellationToken)"/>.
        /// </summary>
        /// <typeparam name="TJob">The jobs' class, which has a message name.</typeparam>
        /// <typeparam name="TResult">The result; known to JSON as messages are. Kept in the job's record, so keep it small.</typeparam>
        /// <param name="queue">The queue.</param>
        /// <param name="handler">The handler.</param>
        /// <param name="configure">Sets how the queue's workers work.</param>
        public MillraceBuilder AddJob<TJob, TResult>(
            string queue, Func<TJob, JobContext, CancellationToken, Task<TResult>> handler, Action<ConsumerOptions>? configure = null)
            where TJob : notnull
            where TResult : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            var registration = builder.Register(queue);
            return builder.Add<TJob>(queue, async (job, context, cancellationToken) =>
                registration.Made.WriteResult(await handler(job, context, cancellationToken).ConfigureAwait(false)), configure);
        }

        /// <summary>
        /// As the other overloads, with a method of a class that is resolved in a scope of its own for each attempt. The class is registered as scoped when it
        /// is not registered yet.
        /// </summary>
        /// <typeparam name="THandler">The class.</typeparam>
        /// <typeparam name="TJob">The jobs' class, which has a message name.</typeparam>
        /// <param name="queue">The queue.</param>
        /// <param name="handler">Calls the method.</param>
        /// <param name="configure">Sets how the queue's workers work.</param>
        public MillraceBuilder AddJob<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler, TJob>(
            string queue, Func<THandler, TJob, JobContext, CancellationToken, Task> handler, Action<ConsumerOptions>? configure = null)
            where THandler : class
            where TJob : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            return builder.Add<THandler, TJob>(queue, async (worker, job, context, cancellationToken) =>
            {
                await handler(worker, job, context, cancellationToken).ConfigureAwait(false);
                return null;
            }, configure);
        }

        /// <summary>As the other overloads, with a method of a class, and a result.</summary>
        /// <typeparam name="THandler">The class.</typeparam>
        /// <typeparam name="TJob">The jobs' class, which has a message name.</typeparam>
        /// <typeparam name="TResult">The result; known to JSON as messages are.</typeparam>
        /// <param name="queue">The queue.</param>
        /// <param name="handler">Calls the method.</param>
        /// <param name="configure">Sets how the queue's workers work.</param>
        public MillraceBuilder AddJob<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler, TJob, TResult>(
            string queue, Func<THandler, TJob, JobContext, CancellationToken, Task<TResult>> handler, Action<ConsumerOptions>? configure = null)
            where THandler : class
            where TJob : notnull
            where TResult : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            var registration = builder.Register(queue);
            return builder.Add<THandler, TJob>(queue, async (worker, job, context, cancellationToken) =>
                registration.Made.WriteResult(await handler(worker, job, context, cancellationToken).ConfigureAwait(false)), configure);
        }

        /// <summary>
        /// Enqueues a job again and again: each firing exactly once, as <c>AddRecurring</c> says of messages. The ID of a firing is
        /// <c>name@moment</c>; it is known as a job from the moment a worker begins with it.
        /// </summary>
        /// <typeparam name="TJob">The jobs' class, which has a message name.</typeparam>
        /// <param name="name">Its name, unique in the queue.</param>
        /// <param name="queue">The queue.</param>
        /// <param name="recurrence">When it is due.</param>
        /// <param name="job">Makes the job of the moment that was due, in UTC.</param>
        /// <param name="options">
        /// More about each firing; without ID, delay, window and jobs to run after. With a unique key a firing that finds the one before under way is passed
        /// over: it ends as cancelled. Default: nothing.
        /// </param>
        /// <param name="missed">What becomes of firings whose time passed while no process ran. Default: all are made up for.</param>
        /// <exception cref="ArgumentException">The options have what a firing cannot.</exception>
        public MillraceBuilder AddRecurringJob<TJob>(
            string name,
            string queue,
            Recurrence recurrence,
            Func<DateTimeOffset, TJob> job,
            JobOptions? options = null,
            MissedFirings missed = MissedFirings.All)
            where TJob : notnull
        {
            options ??= new();
            options.Check();
            if (options is not { Id: null, Delay: null, UniqueWindow: null, After.Count: 0 })
            {
                throw new ArgumentException(
                    $"The recurring job '{name}' cannot have an ID, a delay, a window of its key or jobs to run after.", nameof(options));
            }

            // They go with each firing: the process that gets it may not know that it recurs, or another version of it.
            builder.Register(queue);
            var more = new PublishOptions { CorrelationId = options.CorrelationId, Headers = JobQueue.HeadersOf(options) };
            return builder.AddRecurring(name, queue, recurrence, job, missed, more);
        }

        private MillraceBuilder Add<TJob>(
            string queue, Func<TJob, JobContext, CancellationToken, Task<JsonElement?>> handler, Action<ConsumerOptions>? configure)
            where TJob : notnull
        {
            var registration = builder.Register(queue);
            return builder.AddConsumer<TJob>(
                queue,
                queue,
                (job, message, cancellationToken) =>
                    registration.Made.RunAsync(message, (context, token) => handler(job, context, token), cancellationToken),
                options => Configure(registration, options, configure));
        }

        private MillraceBuilder Add<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler, TJob>(
            string queue, Func<THandler, TJob, JobContext, CancellationToken, Task<JsonElement?>> handler, Action<ConsumerOptions>? configure)
            where THandler : class
            where TJob : notnull
        {
            var registration = builder.Register(queue);
            return builder.AddConsumer<THandler, TJob>(
                queue,
                queue,
                (worker, job, message, cancellationToken) =>
                    registration.Made.RunAsync(message, (context, token) => handler(worker, job, context, token), cancellationToken),
                options => Configure(registration, options, configure));
        }

        private JobQueueRegistration Register(string queue)
        {
            ArgumentException.ThrowIfNullOrEmpty(queue);
            var known = builder.Services.Select(service => service.IsKeyedService ? null : service.ImplementationInstance)
                .OfType<JobQueueRegistration>().FirstOrDefault(one => one.Queue == queue);
            if (known is not null)
                return known;

            var registration = new JobQueueRegistration(queue);
            var notes = JobNames.Notes(queue);
            builder.Services.AddSingleton(registration);
            builder.Services.AddKeyedSingleton(queue, (services, _) => registration.Made = new(
                registration,
                services.GetRequiredService<IStreamStore>(),
                services.GetRequiredService<MessageCodec>(),
                services.GetRequiredService<TimeProvider>(),
                services.GetRequiredService<ILogger<JobQueue>>()));

            // The handlers find their queue without asking the container for each job.
            builder.Services.AddSingleton<IHostedService>(services => new JobQueueStart(services.GetRequiredKeyedService<JobQueue>(queue)));
            builder.AddRetention(notes, retention => retention.MaxCount = registration.Options.MaxNotes);
            return registration;
        }
    }

    private static void Configure(JobQueueRegistration registration, ConsumerOptions options, Action<ConsumerOptions>? configure)
    {
        if (options.OnSettling is null)
            options.HandlerTimeout = Timeout.InfiniteTimeSpan; // The first handler of the queue; what others set stays.
        configure?.Invoke(options);
        options.OwnsStream = true;
        options.OnSettling = (settling, cancellationToken) => registration.Made.SettleAsync(settling, cancellationToken);
    }
}

/// <summary>Makes a queue before the host's consumers start.</summary>
internal sealed class JobQueueStart(JobQueue queue) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override string ToString() => queue.Name;
}
